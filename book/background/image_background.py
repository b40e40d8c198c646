# ---
# jupyter:
#   dataworth:
#     description: Why synthetic images, and the models that the first paper takes for
#       granted.
#     device: cpu
#     expected_minutes:
#       full: 0.2
#       gpu: 0.2
#       quick: 0.2
#       smoke: 0.2
#     params: dataworth.studies.background:ImageBackground
#   jupytext:
#     notebook_metadata_filter: dataworth,kernelspec,jupytext.notebook_metadata_filter,-all
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What stands behind the first paper?
#
# Fan et al. {cite}`fan2024scaling` take four things for known: why one would train on synthetic images at all, what was
# found before, and how the three models work that they use - a vision transformer, a diffusion model with guidance, and
# CLIP. Each has a section here in our own words and a toy of a few lines that runs as you read. No toy is evidence: each shows
# a mechanism. [The systems](../images/systems) lists what stands for the paper's models in this book.

# %% tags=["parameters"]
decay = 15.0
seed = 0

# %% [markdown]
# ## Why synthetic data?
#
# *Real data are expensive.* An image must be taken, found, cleared of rights and labelled by somebody; a synthetic one costs the time of a
# machine, and its label is the prompt it was made from. *Data run out.* What people have written and photographed
# grows slower than what models can read. Repeating it helps for a while: Muennighoff et al.
# {cite}`muennighoff2023repetition` find that a few epochs over the same text are worth nearly as much as new text and many more
# are worth nothing, and describe it by a value of each repetition that decays exponentially.
#
# The toy: $U$ examples are read $1 + R$ times. If each further reading is worth a little less than the one before,
# they count as $U\,(1 + R^*(1 - e^{-R/R^*}))$, and no number of readings is worth more than $1 + R^*$ sets. (`decay` is $R^*$, chosen for the
# picture.) A generator is a way out only if its images hold something that the set does not.

# %%
import numpy as np

from dataworth.figures import curves, draw, heatmap, image_grid, show
from dataworth.studies.background import ImageBackground

params = ImageBackground.from_names(globals())
rng = np.random.default_rng(params.seed)
readings = np.array([1, 2, 4, 8, 16, 32, 64, 128])
worth = 1 + params.decay * (1 - np.exp(-(readings - 1) / params.decay))

# %%
show(
    curves(
        {"repeated": (readings, worth), "new data": (readings, readings)},
        "times the set is read", "worth, in sets of new data", form=".1f", height=3.2,
        roles={"repeated": "#D55E00", "new data": "#0072B2"},
    ),
    caption="A toy: what repeating a set is worth if each reading is worth a little less than the last.",
    name="fig-toy-repetition",
)  # fmt: skip

# %% [markdown]
# ## What was found before the paper
#
# The paper is the third of one group. *StableRep* {cite}`tian2023stablerep` keeps real captions, draws several images for each and learns a
# representation in which images of one caption are alike. *SynCLR* {cite}`tian2024learning` has the captions written by a
# language model, too: no real image and no real caption is left. The third asks how such data scale. Three results of others, which the
# slides of the seminar name, set the question:
#
# 1. *For representations, synthetic data can equal real ones.* Nguyen et al. {cite}`nguyen2023captioning` show for text-image training that synthetic *captions*
#    of real images make up for noisy ones; StableRep and SynCLR do it with synthetic images.
# 2. *For classification, synthetic images alone do worse.* Sariyildiz et al. {cite}`sariyildiz2023fake` train on clones of ImageNet made from class names; a part
#    of what was lost came back with weaker guidance.
# 3. *Real and synthetic images together can do better than real ones.* Azizi et al. {cite}`azizi2023synthetic` tune Imagen on ImageNet and add its images: error
#    falls, then rises again. Yu et al. {cite}`yu2023diversify` go on gaining to six times the set with more varied prompts.
#
# The numbers of Azizi et al., as published:

# %%
from dataworth import published, tables

azizi = published.azizi_mixing()
shown = azizi[azizi.ratio.isin([1, 3, 6, 9])][["pixels", "ratio", "top1", "relative_error"]]
tables.show(
    shown, {"pixels": "d", "ratio": ".0f", "top1": ".2f", "relative_error": ".3f"},
    names={"ratio": "synthetic per real", "top1": "top-1 (%)", "relative_error": "error over that of real alone"},
    caption="ResNet-50 on ImageNet's 1.2 million images with synthetic ones beside them",
)  # fmt: skip

# %% [markdown]
# ## How does a vision transformer read an image?
#
# It cuts the image into square patches and treats each, flattened, as a word {cite}`dosovitskiy2021image`. A linear map makes a vector of it, a
# vector for its place is added, and a transformer mixes them; one more token, or the mean of all, answers. Nothing in it knows that
# neighbours belong together: that has to be learned, which is why such models profit so much from more images, and why this
# book's small ones are given few and large patches.
#
# The toy cuts a picture of 28 × 28 pixels into 16 patches of 7 × 7, as `vit-2x64` of this book does, and then puts them in another order.
# The mean over patches is the same: without vectors for places a transformer's answer could not tell the two.

# %%
y, x = np.mgrid[-1:1:28j, -1:1:28j]
picture = (255 * np.exp(-(((np.hypot(x, y) - 0.6) / 0.15) ** 2))).astype(np.uint8)
patches = picture.reshape(4, 7, 4, 7).swapaxes(1, 2).reshape(16, 7, 7)
order = rng.permutation(16)
shuffled = patches[order].reshape(4, 4, 7, 7).swapaxes(1, 2).reshape(28, 28)
same = np.allclose(patches.reshape(16, -1).mean(0), patches[order].reshape(16, -1).mean(0))
print(f"16 tokens of 49 numbers; mean over tokens the same in both orders: {same}")

# %%
show(
    image_grid({"picture": np.stack([picture, shuffled]), "some tokens": np.kron(patches[[0, 1, 5, 6, 9, 10]], np.ones((1, 4, 4), np.uint8))}, size=0.8),
    alt="A ring; the same ring with its 16 patches in another order; six of the patches.",
    caption="An image as a transformer reads it: 16 patches, whose order only the vectors for their places tell.",
    name="fig-toy-patches",
    raster=True,
)  # fmt: skip

# %% [markdown]
# ## What do diffusion and guidance do?
#
# A diffusion model is trained to remove noise. Who can do that for every amount of noise can start from noise alone and remove it step by step:
# what comes out is a sample of what it was trained on. With a text beside the image, the text steers which sample. In a *latent* model
# (Stable Diffusion {cite}`rombach2022latent`) all of that happens in the small code of an autoencoder; in Muse tokens are guessed instead of noise removed.
#
# Guidance {cite}`ho2022guidance` runs the model with and without the text and goes *further* in the direction of the difference: with strength $w$ it samples, in effect,
# from $p(x \mid c)^w\, p(x)^{1-w}$. In one dimension that can be computed. The class sits at 1, other classes around it: with growing $w$ the
# samples leave the others' ground and crowd together. Clearer, and more alike: the trade of the chapter [](../images/prompts_and_guidance).

# %%
at = np.linspace(-6, 8, 4001)


def bell(mean, sd):
    return np.exp(-(((at - mean) / sd) ** 2) / 2) / sd


everything = 0.3 * bell(1, 1) + 0.7 * bell(-1, 1.5)
strengths = np.array([1.0, 1.5, 2.0, 3.0, 5.0, 7.5])
guided = [bell(1, 1) ** w * everything ** (1 - w) for w in strengths]
guided = [p / p.sum() for p in guided]
centre = np.array([(p * at).sum() for p in guided])
spread = np.array([((p * at**2).sum() - m**2) ** 0.5 for p, m in zip(guided, centre, strict=True)])
own = np.array([(p * 0.3 * bell(1, 1) / everything).sum() for p in guided])

# %%
show(
    draw(
        curves({"guided": (strengths, 100 * own)}, "guidance w", "sure to be of its class (%)", log="",
               form=".0f", ticks=(1, 3, 5, 7.5)),
        curves({"guided": (strengths, spread)}, "guidance w", "spread of samples (sd)", log="", form=".2f",
               ticks=(1, 3, 5, 7.5)),
        share=False, height=3.2,
    ),
    caption="A toy in one dimension: stronger guidance makes samples easier to recognise and more alike.",
    name="fig-toy-guidance",
)  # fmt: skip

# %% [markdown]
# ## How does CLIP learn from captions?
#
# Two towers, one for images and one for texts, give vectors of one length {cite}`radford2021learning`. In a batch of $n$ pairs every image is compared with every
# text, and both are trained to find their partner among the $n$: cross-entropy over rows and over columns of the table of similarities. No class is
# needed. To classify, a text is written for every class (*a photo of a coat*) and the nearest one is the answer, without any further training.
#
# The toy: eight pairs of random vectors, the text a noisy copy of the image's. Then in two pairs the captions are exchanged, as if a generator
# had drawn the wrong thing: the loss of those pairs is high, that of the others unchanged. In a batch a wrong pair is one voice of many; a wrong *label* is
# taught as the truth.

# %%
images = rng.normal(size=(8, 32))
texts = images + 0.8 * rng.normal(size=(8, 32))
swapped = texts.copy()
swapped[[0, 1]] = texts[[1, 0]]


def similarities(a, b):
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (
        b / np.linalg.norm(b, axis=1, keepdims=True)
    ).T


def pair_losses(table, temperature=0.1):
    logits = table / temperature
    by_image = np.log(np.exp(logits).sum(1)) - np.diag(logits)
    by_text = np.log(np.exp(logits).sum(0)) - np.diag(logits)
    return (by_image + by_text) / 2


tables_of = {
    "as paired": similarities(images, texts),
    "two captions exchanged": similarities(images, swapped),
}
for name, table in tables_of.items():
    losses = pair_losses(table)
    print(
        f"{name}: loss {losses.mean():.2f}; first two pairs {losses[:2].mean():.2f}, others {losses[2:].mean():.2f}"
    )

# %%
numbers = list(range(1, 9))
show(
    draw(*(
        heatmap(table, "cosine similarity", rows=numbers, columns=numbers, x="text", y="image", better="", title=name, least=2)
        for name, table in tables_of.items()
    ), height=3.6),
    alt="The diagonal is bright but for the first two pairs on the right, where the places beside it are.",
    caption="A toy batch of CLIP: every image against every text. Training makes the diagonal the largest of its row and column.",
    name="fig-toy-clip",
)  # fmt: skip

# %% [markdown]
# ## What carries over, and what does not
#
# The toys have no images in them but one ring: they show that guidance *must* trade variety for clarity and that a batch *can* outvote a wrong pair,
# not by how much. By how much is measured in [](../images/synthetic_scaling) and the chapters after it.
