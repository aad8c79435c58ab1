using System.Runtime.InteropServices;
using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>A codec's system library, located once on first use.</summary>
internal sealed class NativeCodecLibrary(CompressionType type, string[] candidates, string installHint)
{
    private readonly Lazy<nint> _handle = new(() => Load(candidates));

    /// <summary>Returns the address of a function.</summary>
    /// <exception cref="CodecUnavailableException">The library is missing, or too old to have the function.</exception>
    public nint Function(string name)
    {
        if (_handle.Value == 0)
            throw new CodecUnavailableException(type, $"No library for {type} was found ({string.Join(", ", candidates)}). {installHint}");
        return NativeLibrary.TryGetExport(_handle.Value, name, out var address)
            ? address
            : throw new CodecUnavailableException(type, $"The library for {type} has no function {name}; it is too old. {installHint}");
    }

    private static nint Load(string[] candidates)
    {
        foreach (var candidate in candidates)
        {
            if (NativeLibrary.TryLoad(candidate, typeof(NativeCodecLibrary).Assembly, null, out var handle))
                return handle;
        }
        return 0;
    }
}

/// <summary>
/// A pool of native contexts, since creating one costs more than compressing a small batch. It keeps two for each processor: those in use
/// and some in reserve. Others are freed on return.
/// </summary>
internal sealed class NativeContextPool<T>(Func<T> create)
    where T : SafeHandle
{
    private readonly T?[] _idle = new T?[2 * Environment.ProcessorCount];

    public T Rent()
    {
        for (var i = 0; i < _idle.Length; i++)
        {
            if (_idle[i] is not null && Interlocked.Exchange(ref _idle[i], null) is { } context)
                return context;
        }
        return create();
    }

    public void Return(T context)
    {
        for (var i = 0; i < _idle.Length; i++)
        {
            if (Interlocked.CompareExchange(ref _idle[i], context, null) is null)
                return;
        }
        context.Dispose();
    }
}
