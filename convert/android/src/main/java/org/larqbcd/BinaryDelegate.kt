package org.larqbcd

import org.tensorflow.lite.Delegate

/**
 * Executes the binary operators of a Larq Compute Engine file in a LiteRT interpreter.
 *
 * Close it after the interpreter that uses it.
 *
 * @param threads for the binary operators, 1 to 64.
 */
class BinaryDelegate(threads: Int = 1) : Delegate, AutoCloseable {
    private var handle = create(threads)

    init {
        require(handle != 0L) { "threads is $threads, and has to be 1 to 64" }
    }

    override fun getNativeHandle(): Long = handle

    override fun close() {
        destroy(handle)
        handle = 0
    }

    private companion object {
        init {
            System.loadLibrary("larq_bcd")
        }

        @JvmStatic external fun create(threads: Int): Long

        @JvmStatic external fun destroy(handle: Long)
    }
}
