"""The Python interface."""

import ctypes
import gc
import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from embedding import EmbeddingGraph, embedded_network
from equations import Convolution, convolve, pack, random_data
from files import convolution_file, same_bits
from flatfile import FlatFile, schema

import larq_bcd_runtime
from larq_bcd_runtime import Interpreter, ModelError
from larq_bcd_runtime.delegate import runtime

C = Convolution(height=5, width=6, channels_in=40, channels_out=24, pad_values=0)
DATA = random_data(C)
FILE = convolution_file(C, DATA, quantize=True)
IMAGES = np.random.default_rng(3).normal(size=(7, 5, 6, 40)).astype(np.float32)


def expected(images):
    c = Convolution(**{**C.__dict__, "batch": len(images)})
    signs = np.where(images < 0, -1, 1)
    return convolve(c, type(DATA)(**{**DATA.__dict__, "inputs": signs}))


def test_a_path_and_bytes_are_the_same_model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(FILE)
    for model in (FILE, path, str(path)):
        same_bits(Interpreter(model).predict(IMAGES), expected(IMAGES))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_the_batch_size_does_not_change_the_result(batch_size):
    interpreter = Interpreter(FILE, num_threads=2)
    for count in (1, 7, 2):
        got = interpreter.predict(IMAGES[:count], batch_size=batch_size)
        same_bits(got, expected(IMAGES[:count]))


def test_details_describe_the_file():
    interpreter = Interpreter(FILE)
    (entry,), (result,) = interpreter.input_details, interpreter.output_details
    assert (entry.shape, entry.dtype) == ((1, 5, 6, 40), np.float32)
    assert (result.shape, result.dtype) == ((1, 5, 6, 24), np.float32)


def fixed_batch_file() -> bytes:
    """Ends in a RESHAPE to a shape that includes the batch, as Flatten is converted."""
    file = FlatFile()
    entry, packed = file.tensor((1, 2, 2, 32)), file.tensor((1, 2, 2, 1), np.int32)
    signs, flat = file.tensor((1, 2, 2, 32)), file.tensor((1, 128))
    shape = file.constant(np.array([1, 128], np.int32))
    file.custom("LceQuantize", [entry], [packed])
    file.custom("LceDequantize", [packed], [signs])
    options = schema.ReshapeOptionsT()
    options.newShape = np.array([1, 128], np.int32)
    file.builtin(
        "RESHAPE", [signs, shape], [flat], schema.BuiltinOptions.ReshapeOptions, options
    )
    return file.build([entry], [flat])


def test_a_file_that_fixes_its_batch_is_run_in_slices():
    interpreter = Interpreter(fixed_batch_file())
    images = np.random.default_rng(0).normal(size=(5, 2, 2, 32)).astype(np.float32)
    for _ in range(2):
        signs = np.where(images < 0, -1, 1).astype(np.float32).reshape(5, 128)
        same_bits(interpreter.predict(images), signs)


def test_several_inputs_and_outputs_are_lists():
    file = FlatFile()
    entries = [file.tensor((1, 33)), file.tensor((1, 5))]
    results = [file.tensor((1, 2), np.int32), file.tensor((1, 1), np.int32)]
    for entry, result in zip(entries, results):
        file.custom("LceQuantize", [entry], [result])
    arrays = [IMAGES.reshape(-1)[: 4 * n].reshape(4, n) for n in (33, 5)]
    got = Interpreter(file.build(entries, results)).predict(arrays)
    for actual, array in zip(got, arrays):
        same_bits(actual, pack(array < 0))


def signed_file(signature):
    """Two LceQuantize side by side, the second of which is put out first, and twice."""
    file = FlatFile()
    entries = [file.tensor((1, 33)), file.tensor((1, 5))]
    results = [file.tensor((1, 2), np.int32), file.tensor((1, 1), np.int32)]
    for entry, result in zip(entries, results):
        file.custom("LceQuantize", [entry], [result])
    names = signature(entries, results) if signature else None
    return file.build(entries, [results[1], results[0], results[1]], names)


def by_name(entries, results):
    """In another order than the file's, as TensorFlow sorts them."""
    return (
        {"five": entries[1], "many": entries[0]},
        {"again": results[1], "large": results[0], "small": results[1]},
    )


def test_inputs_and_outputs_have_the_names_of_the_signature():
    interpreter = Interpreter(signed_file(by_name))
    assert [detail.name for detail in interpreter.input_details] == ["many", "five"]
    names = [detail.name for detail in interpreter.output_details]
    assert names == ["again", "large", "small"]
    assert [detail.shape for detail in interpreter.output_details] == [(1, 1), (1, 2), (1, 1)]


def test_predictions_by_name_are_those_by_order():
    interpreter = Interpreter(signed_file(by_name))
    many, five = (IMAGES.reshape(-1)[: 4 * n].reshape(4, n) for n in (33, 5))
    named = interpreter.predict_named({"five": five, "many": many}, batch_size=3)
    assert list(named) == ["again", "large", "small"]
    for name, array in {"again": five, "large": many, "small": five}.items():
        same_bits(named[name], pack(array < 0))
    for by_order, result in zip(interpreter.predict([many, five]), named.values()):
        same_bits(by_order, result)
    single = Interpreter(FILE)
    (entry,), (result,) = single.input_details, single.output_details
    same_bits(single.predict_named({entry.name: IMAGES})[result.name], expected(IMAGES))


@pytest.mark.parametrize(
    ("inputs", "given"),
    [
        ({"five": IMAGES}, "'five'"),
        ({"five": IMAGES, "many": IMAGES, "more": IMAGES}, "'five', 'many', 'more'"),
        ({}, "nothing"),
        (IMAGES, "no mapping"),
    ],
)
def test_do_not_predict_by_names_that_are_not_the_file_s(inputs, given):
    with pytest.raises(ValueError, match=f"inputs has {given}, .* each of 'many', 'five'"):
        Interpreter(signed_file(by_name)).predict_named(inputs)


def test_without_a_signature_names_are_those_of_the_tensors():
    for signature in (None, lambda *_: ({}, {}), lambda *_: ({"x": 1 << 31}, {"y": 99})):
        interpreter = Interpreter(signed_file(signature))
        assert [detail.name for detail in interpreter.input_details] == ["tensor0", "tensor1"]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        (IMAGES[0], r"use array\[None\]"),
        (IMAGES[:, :4], r"\(7, 4, 6, 40\)"),
        (IMAGES.astype(np.float64), r"takes float32, not float64.*astype"),
        (IMAGES[:0], "0 samples"),
        ([IMAGES, IMAGES], "1 inputs, and 2 arrays"),
        (IMAGES.tolist(), "NumPy array, or a list of one for each input; use np.asarray"),
        ([IMAGES.tolist()], "inputs has to be a NumPy array"),
        ("cat.jpg", "inputs has to be a NumPy array"),
        (None, "inputs has to be a NumPy array"),
    ],
)
def test_do_not_predict_from_arrays_that_do_not_fit(inputs, reason):
    with pytest.raises(ValueError, match=reason):
        Interpreter(FILE).predict(inputs)


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, "many", None])
def test_do_not_accept_a_batch_size(batch_size):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size!r}, and has to be"):
        Interpreter(FILE).predict(IMAGES, batch_size=batch_size)


def test_numpy_s_integers_are_integers():
    got = Interpreter(FILE, num_threads=np.int64(2)).predict(IMAGES, batch_size=np.int32(3))
    same_bits(got, expected(IMAGES))


@pytest.mark.parametrize("model", [None, 3, [FILE]])
def test_do_not_open_what_is_neither_path_nor_bytes(model):
    with pytest.raises(ValueError, match="has to be a path or a file's bytes"):
        Interpreter(model)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_bytes_are_a_model(kind):
    same_bits(Interpreter(kind(FILE)).predict(IMAGES), expected(IMAGES))


def test_the_sign_of_what_is_not_finite():
    # NaN is not below 0, so its sign is +1, as LCE's is.
    for value, sign in {np.nan: 1.0, np.inf: 1.0, -np.inf: -1.0}.items():
        images = np.full_like(IMAGES, value)
        same_bits(Interpreter(FILE).predict(images), expected(np.full_like(IMAGES, sign)))


def test_a_pickled_interpreter_opens_its_file_anew():
    original = Interpreter(FILE, num_threads=2, fuse=False)
    twin = pickle.loads(pickle.dumps(original))
    same_bits(twin.predict(IMAGES), original.predict(IMAGES))


def test_threads_take_turns_with_one_interpreter():
    interpreter, right = Interpreter(FILE), expected(IMAGES)

    def work():
        for _ in range(50):
            same_bits(interpreter.predict(IMAGES), right)

    with ThreadPoolExecutor(4) as pool:
        for worker in [pool.submit(work) for _ in range(4)]:
            worker.result()


@pytest.mark.parametrize(("threads", "status"), [(1, 0), (2, 3)])
def test_do_not_wait_in_a_forked_process_for_threads_that_it_does_not_have(threads, status):
    interpreter = Interpreter(FILE, num_threads=threads)
    interpreter.predict(IMAGES)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        result = 0
        try:
            interpreter.predict(IMAGES)
        except RuntimeError as error:
            result = 3 if "forked" in str(error) else 4
        del interpreter  # as at the end of a process
        os._exit(result)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status


def test_a_forked_process_computes_without_the_threads_of_its_parent():
    # As a program does that uses LiteRT itself: nothing but the delegate has threads.
    delegate = larq_bcd_runtime.load(num_threads=2)
    interpreter = runtime().Interpreter(model_content=FILE, experimental_delegates=[delegate])
    interpreter.allocate_tensors()
    entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def predict(images):
        interpreter.set_tensor(entry["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    same_bits(predict(IMAGES[:1]), expected(IMAGES[:1]))
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if np.array_equal(predict(IMAGES[1:2]), expected(IMAGES[1:2])) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    same_bits(predict(IMAGES[2:3]), expected(IMAGES[2:3]))


@pytest.mark.parametrize("content", [b"", b"no model at all", FILE[: len(FILE) // 2]])
def test_do_not_open_what_is_not_a_model(content):
    with pytest.raises(ModelError):
        Interpreter(content)


def test_do_not_open_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Interpreter(tmp_path / "missing.tflite")


def test_do_not_run_an_operator_that_nobody_knows():
    file = FlatFile()
    entry, result = file.tensor((1, 4)), file.tensor((1, 4))
    file.custom("LceUnheardOf", [entry], [result])
    with pytest.raises(ModelError, match="LceUnheardOf"):
        Interpreter(file.build([entry], [result]))


@pytest.mark.parametrize("threads", [0, -1, 65, "many"])
def test_do_not_accept_a_number_of_threads(threads):
    with pytest.raises(ValueError, match=f"num_threads is '{threads}'"):
        larq_bcd_runtime.load(num_threads=threads)


def test_do_not_accept_kernels_of_another_machine():
    with pytest.raises(ValueError, match="no kernels 'mmx' for this machine"):
        Interpreter(FILE, kernels="mmx")


def test_interpreters_in_several_threads_do_not_disturb_each_other():
    wrong = []

    def work():
        interpreter = Interpreter(FILE, num_threads=2)
        for _ in range(50):
            if not np.array_equal(interpreter.predict(IMAGES), expected_images):
                wrong.append(threading.get_ident())

    expected_images = expected(IMAGES)
    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def embedded_file() -> bytes:
    graph = EmbeddingGraph(0, 5, 6)
    entry, logits = embedded_network(graph, 40, 10)
    return graph.file.build([entry], [logits])


class MallocInfo(ctypes.Structure):
    """What mallinfo2 of the C library returns, in bytes: see its manual."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                     "uordblks", "fordblks", "keepcost")
    ]  # fmt: skip


@pytest.mark.parametrize("file", [FILE, embedded_file()], ids=["convolution", "embedding"])
def test_interpreters_leave_no_memory_and_no_thread_behind(file):
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = MallocInfo

    def allocated_bytes() -> int:
        info = mallinfo2()
        return info.uordblks + info.hblkhd

    def threads() -> int:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Threads"))

    def use(times):
        for _ in range(times):
            Interpreter(file, num_threads=2).predict(IMAGES[:2])
        gc.collect()

    use(50)
    memory, count = allocated_bytes(), threads()
    use(1000)
    assert threads() == count
    # Python's own objects come and go; a kilobyte of each interpreter would be a megabyte.
    assert allocated_bytes() - memory < 200_000


@pytest.mark.parametrize("axis", [0, -2, 1, -1])
def test_samples_that_are_gathered_are_not_given_more_at_once(axis):
    options = schema.GatherOptionsT()
    options.axis = axis
    file = FlatFile()
    x, y = file.tensor((1, 1)), file.tensor((1, 1))
    inputs = [x, file.constant(np.array([0], np.int32))]
    file.builtin("GATHER", inputs, [y], schema.BuiltinOptions.GatherOptions, options)
    values = np.float32([[1], [2], [3]])
    interpreter = Interpreter(file.build([x], [y]))
    np.testing.assert_array_equal(interpreter.predict(values), values)
