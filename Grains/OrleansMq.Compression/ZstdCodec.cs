using System.Buffers;
using System.Runtime.InteropServices;
using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>Zstandard frames with the system's libzstd.</summary>
internal sealed unsafe class ZstdCodec : ICompressionCodec
{
    // The default of Kafka and of the library.
    private const int Level = 3;

    // The window of zstd's highest level without its long mode. A frame may demand gigabytes.
    private const int MaxWindowLog = 27;
    // What any frame may demand. Above it the first frame has to say so, since callers admit large windows one at a time.
    private const int FreeWindowLog = 24;

    // A frame whose content is known to be no larger is decompressed at once, which needs no window.
    private const int MaxAtOnce = 1 << FreeWindowLog;

    // Contexts that grew to a large window are not pooled.
    private const int MaxPooledContextSize = 16 << 20;

    private readonly NativeContextPool<CompressionContext> _compressors = new(() => new CompressionContext());
    private readonly NativeContextPool<DecompressionContext> _decompressors = new(() => new DecompressionContext());

    public CompressionType Type => CompressionType.Zstd;

    public string? Missing => ZstdNative.Missing;

    public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination)
    {
        var span = destination.GetSpan(checked((int)ZstdNative.Functions.CompressBound((nuint)source.Length)));
        var context = _compressors.Rent();
        nuint length;
        fixed (byte* from = source, to = span)
            length = ZstdNative.Functions.CompressCCtx(context.Pointer, to, (nuint)span.Length, from, (nuint)source.Length, Level);
        _compressors.Return(context);
        if (ZstdNative.Functions.IsError(length) != 0)
            throw new InvalidOperationException($"zstd cannot compress {source.Length} bytes: {ZstdNative.ErrorName(length)}.");
        destination.Advance((int)length);
    }

    public long WindowOf(ReadOnlySpan<byte> source)
    {
        var window = ZstdFrame.WindowOf(source);
        return window > MaxAtOnce && window <= 1L << MaxWindowLog ? Math.Min(window, ZstdFrame.ContentBoundOf(source)) : window;
    }

    public void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength)
    {
        var window = ZstdFrame.WindowOf(source);
        if (window > 1L << MaxWindowLog)
            throw new RecordBatchException(RecordBatchError.TooLong,
                $"The zstd frame demands a window of {window} bytes; the most is {1 << MaxWindowLog}. "
                + "Compress without zstd's long mode, or in smaller batches.");
        var context = _decompressors.Rent();
        try
        {
            var content = window > MaxAtOnce ? ZstdFrame.ContentBoundOf(source) : long.MaxValue;
            if (content <= Math.Min(MaxAtOnce, maxLength))
                DecompressAtOnce(context, source, destination, (int)content);
            else
                Decompress(context, source, new DecompressionBound(destination, maxLength), window > 1 << FreeWindowLog
                    ? MaxWindowLog : FreeWindowLog);
        }
        finally
        {
            if (ZstdNative.Functions.SizeOfDCtx(context.Pointer) <= MaxPooledContextSize)
                _decompressors.Return(context);
            else
                context.Dispose();
        }
    }

    // The encoders of the highest levels announce a large window whatever they compress. The bound may be far above the content, so the
    // destination gets no more than its length.
    private static void DecompressAtOnce(DecompressionContext context, ReadOnlySpan<byte> source, IBufferWriter<byte> destination,
        int content)
    {
        using var scratch = new PooledBuffer();
        var span = scratch.GetSpan(Math.Max(content, 1));
        nuint length;
        fixed (byte* from = source, to = span)
            length = ZstdNative.Functions.DecompressDCtx(context.Pointer, to, (nuint)span.Length, from, (nuint)source.Length);
        if (ZstdNative.Functions.IsError(length) != 0)
            throw Failed(length);
        destination.Write(span[..(int)length]);
    }

    private static void Decompress(DecompressionContext context, ReadOnlySpan<byte> source, DecompressionBound bound, int maxWindowLog)
    {
        ZstdNative.Functions.ResetDCtx(context.Pointer, ZstdNative.ResetSession);
        ZstdNative.Functions.SetParameterDCtx(context.Pointer, ZstdNative.WindowLogMax, maxWindowLog);
        var frameEnded = false;
        var frameBegins = true;
        while (!source.IsEmpty || !frameEnded)
        {
            if (frameBegins && !ZstdFrame.MayBegin(source, out var magic))
                throw new RecordBatchException(RecordBatchError.BadCompression,
                    $"The records are not a zstd frame: one begins with 0x{magic:X8}. Compress with zstd 0.8 or later.");
            var span = bound.NextSpan();
            ZstdBuffer input, output;
            nuint hint;
            fixed (byte* from = source, to = span)
            {
                input = new ZstdBuffer { Bytes = from, Size = (nuint)source.Length };
                output = new ZstdBuffer { Bytes = to, Size = (nuint)span.Length };
                hint = ZstdNative.Functions.DecompressStream(context.Pointer, &output, &input);
            }
            if (ZstdNative.Functions.IsError(hint) != 0)
                throw Failed(hint);
            frameBegins = frameEnded = hint == 0;
            if (input.Position == 0 && output.Position == 0 && !frameEnded)
                throw new RecordBatchException(RecordBatchError.BadCompression, "The zstd frame ends too early.");
            bound.Advance((int)output.Position);
            source = source[(int)input.Position..];
        }
    }

    // A frame after the first may demand a large window, too.
    internal static RecordBatchException Failed(nuint result) => (0 - result) switch
    {
        ZstdNative.MemoryAllocation => new(RecordBatchError.Busy, "zstd has no memory to decompress the records now. Retry."),
        ZstdNative.WindowTooLarge => new(RecordBatchError.TooLong, $"A zstd frame after the first demands a window above "
            + $"{1 << FreeWindowLog} bytes. Compress the records into one frame."),
        _ => new(RecordBatchError.BadCompression, $"The records are not a zstd frame: {ZstdNative.ErrorName(result)}."),
    };

    private sealed class CompressionContext : SafeHandle
    {
        public CompressionContext() : base(0, ownsHandle: true)
        {
            SetHandle(ZstdNative.Functions.CreateCCtx());
            if (IsInvalid)
                throw new OutOfMemoryException("zstd has no memory for a compression context.");
        }

        public override bool IsInvalid => handle == 0;

        // Between rent and return the pool's user references the object, so the pointer stays valid.
        public nint Pointer => handle;

        protected override bool ReleaseHandle() => ZstdNative.Functions.IsError(ZstdNative.Functions.FreeCCtx(handle)) == 0;
    }

    private sealed class DecompressionContext : SafeHandle
    {
        public DecompressionContext() : base(0, ownsHandle: true)
        {
            SetHandle(ZstdNative.Functions.CreateDCtx());
            if (IsInvalid)
                throw new RecordBatchException(RecordBatchError.Busy, "zstd has no memory for a decompression context now. Retry.");
        }

        public override bool IsInvalid => handle == 0;

        public nint Pointer => handle;

        protected override bool ReleaseHandle() => ZstdNative.Functions.IsError(ZstdNative.Functions.FreeDCtx(handle)) == 0;
    }
}
