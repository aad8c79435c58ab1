using System.Buffers;

namespace OrleansMq.Grains;

/// <summary>
/// One record batch on its way to the silo that leads its partition. It is in one of three states:
/// <list type="bullet">
/// <item>lent: the bytes are the caller's, who leaves them alone while the call is under way. Orleans may write them to a connection, once
/// or again.</item>
/// <item>owned: it came over a connection, or was copied from one that is lent; the bytes are pooled memory of its own.</item>
/// <item>empty: revoked or given back. What is written of it from now on is no batch, and is refused where it arrives.</item>
/// </list>
/// A call that timed out may still wait to be sent: so the caller revokes what he lent before his memory is used again, and revoking waits
/// for who is writing it. Thread safe.
/// </summary>
[Immutable]
[Alias("omq.BatchInCall")]
internal sealed class BatchInCall : IDisposable
{
    private readonly Lock _lock = new();
    private Memory<byte> _bytes;
    // Null while the bytes are lent, or there are none.
    private byte[]? _pooled;

    private BatchInCall()
    {
    }

    /// <summary>A batch whose bytes stay the caller's. <see cref="Dispose"/> revokes it.</summary>
    public static BatchInCall Lend(Memory<byte> bytes) => new() { _bytes = bytes };

    /// <summary>A batch of its own, to be filled by who made it.</summary>
    public static BatchInCall Receive(int length, out Span<byte> bytes)
    {
        var batch = new BatchInCall();
        batch.Rent(length);
        bytes = batch._bytes.Span;
        return batch;
    }

    /// <summary>Memory that may be written to until <see cref="Dispose"/>: where the batch is lent (the caller is in this process), a copy
    /// of it in another batch.</summary>
    /// <param name="owner">To be disposed of.</param>
    public Memory<byte> Own(out BatchInCall owner)
    {
        lock (_lock)
        {
            owner = this;
            if (_pooled is not null)
                return _bytes;
            owner = new BatchInCall();
            owner.Rent(_bytes.Length);
            _bytes.CopyTo(owner._bytes);
            return owner._bytes;
        }
    }

    /// <summary>Reads the bytes as they are now; they do not change and are not given back meanwhile.</summary>
    public void Read<TState>(ref TState state, Reading<TState> read) where TState : allows ref struct
    {
        lock (_lock)
            read(ref state, _bytes.Span);
    }

    /// <summary>Revokes what was lent, or gives back the memory.</summary>
    public void Dispose()
    {
        byte[]? pooled;
        lock (_lock)
            (pooled, _pooled, _bytes) = (_pooled, null, default);
        if (pooled is not null)
            ArrayPool<byte>.Shared.Return(pooled);
    }

    private void Rent(int length)
    {
        _pooled = ArrayPool<byte>.Shared.Rent(length);
        _bytes = _pooled.AsMemory(0, length);
    }

    /// <summary>Uses bytes that are valid during the call.</summary>
    public delegate void Reading<TState>(ref TState state, ReadOnlySpan<byte> bytes) where TState : allows ref struct;
}
