using System.Buffers;
using System.Runtime.InteropServices;
using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>LZ4 frames with the system's liblz4.</summary>
internal sealed unsafe class Lz4Codec : ICompressionCodec
{
    private readonly NativeContextPool<DecompressionContext> _contexts = new(DecompressionContext.Create);

    public CompressionType Type => CompressionType.Lz4;

    public string? Missing => Lz4Native.Missing;

    public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination)
    {
        // Independent blocks of 64 KiB without checksums: what Kafka's Java client writes, and all that it reads. The batch has its own
        // CRC.
        var preferences = new Lz4Preferences { BlockSizeId = 4, BlockMode = 1 };
        var bound = Lz4Native.Functions.CompressFrameBound((nuint)source.Length, &preferences);
        var span = destination.GetSpan(checked((int)bound));
        nuint length;
        fixed (byte* from = source, to = span)
            length = Lz4Native.Functions.CompressFrame(to, (nuint)span.Length, from, (nuint)source.Length, &preferences);
        if (Lz4Native.Functions.IsError(length) != 0)
            throw new InvalidOperationException($"lz4 cannot compress {source.Length} bytes: {Lz4Native.ErrorName(length)}.");
        destination.Advance((int)length);
    }

    public void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength)
    {
        var context = _contexts.Rent();
        var isClean = false;
        try
        {
            Decompress(context, source, new DecompressionBound(destination, maxLength));
            isClean = true;
        }
        finally
        {
            // A reset (up to 1.9.4) leaves what a broken frame said of its content, and the next frame would be refused for it.
            if (isClean)
                _contexts.Return(context);
            else
                context.Dispose();
        }
    }

    private static void Decompress(DecompressionContext context, ReadOnlySpan<byte> source, DecompressionBound bound)
    {
        Lz4Native.Functions.ResetDecompressionContext(context.Pointer);
        var frameEnded = false;
        while (!source.IsEmpty || !frameEnded)
        {
            var span = bound.NextSpan();
            nuint read = (nuint)source.Length, written = (nuint)span.Length, hint;
            fixed (byte* from = source, to = span)
                hint = Lz4Native.Functions.Decompress(context.Pointer, to, &written, from, &read, null);
            if (Lz4Native.Functions.IsError(hint) != 0)
                throw Failed(hint);
            frameEnded = hint == 0;
            if (read == 0 && written == 0 && !frameEnded)
                throw new RecordBatchException(RecordBatchError.BadCompression, $"The lz4 frame ends {hint} bytes too early.");
            bound.Advance((int)written);
            source = source[(int)read..];
        }
    }

    internal static RecordBatchException Failed(nuint result) => 0 - result == Lz4Native.AllocationFailed
        ? new(RecordBatchError.Busy, "lz4 has no memory to decompress the records now. Retry.")
        : new(RecordBatchError.BadCompression, $"The records are not an lz4 frame: {Lz4Native.ErrorName(result)}.");

    private sealed class DecompressionContext : SafeHandle
    {
        private DecompressionContext(nint context) : base(0, ownsHandle: true) => SetHandle(context);

        public override bool IsInvalid => handle == 0;

        // Between rent and return the pool's user references the object, so the pointer stays valid.
        public nint Pointer => handle;

        public static DecompressionContext Create()
        {
            nint context;
            var result = Lz4Native.Functions.CreateDecompressionContext(&context, Lz4Native.FrameVersion);
            return Lz4Native.Functions.IsError(result) == 0
                ? new DecompressionContext(context)
                : throw new RecordBatchException(RecordBatchError.Busy, $"lz4 has no memory for a context now: "
                    + $"{Lz4Native.ErrorName(result)}. Retry.");
        }

        protected override bool ReleaseHandle() => Lz4Native.Functions.FreeDecompressionContext(handle) == 0;
    }
}
