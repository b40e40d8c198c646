"""Teaching from the book: student copies, slides, lesson plans, assignments, a lab with budgets.

Everything is made of the chapters, their executed notebooks and ledgers, and of what teach/ in the
clone adds to them. No chapter and no run imports this room.
"""
