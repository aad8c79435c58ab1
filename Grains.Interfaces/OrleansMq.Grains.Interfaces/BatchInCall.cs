using System.Buffers;

namespace OrleansMq.Grains;

/// <summary>
/// One record batch on its way to the silo that leads its partition. It is in one of three states:
/// <list type="bullet">
/// <item>lent: the bytes belong to the caller, which leaves them unchanged while the call is in flight. Orleans may write them to a
/// connection once or more often.</item>
/// <item>owned: it arrived over a connection, or was copied from a lent batch. The bytes are pooled memory of its own.</item>
/// <item>empty: revoked or returned. Serialized in this state it is not a valid batch, and the receiver refuses it.</item>
/// </list>
/// A call that timed out may still wait to be sent. So the caller revokes a lent batch before it reuses the memory; revoking waits for a
/// write that is in progress. Thread safe.
/// </summary>
[Immutable]
[Alias("omq.BatchInCall")]
internal sealed class BatchInCall : IDisposable
{
    private readonly Lock _lock = new();
    private Memory<byte> _bytes;
    // Null while the bytes are lent, or when there are none.
    private byte[]? _pooled;

    private BatchInCall()
    {
    }

    /// <summary>Creates a batch whose bytes still belong to the caller. <see cref="Dispose"/> revokes it.</summary>
    public static BatchInCall Lend(Memory<byte> bytes) => new() { _bytes = bytes };

    /// <summary>Creates a batch with memory of its own, for the caller to fill.</summary>
    public static BatchInCall Receive(int length, out Span<byte> bytes)
    {
        var batch = new BatchInCall();
        batch.Rent(length);
        bytes = batch._bytes.Span;
        return batch;
    }

    /// <summary>Returns memory that may be written to until <see cref="Dispose"/>. A lent batch (the caller is in this process) is copied
    /// into another batch.</summary>
    /// <param name="owner">Owns the memory; the caller disposes of it.</param>
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

    /// <summary>Reads the current bytes. They neither change nor return to the pool during the call.</summary>
    public void Read<TState>(ref TState state, Reading<TState> read) where TState : allows ref struct
    {
        lock (_lock)
            read(ref state, _bytes.Span);
    }

    /// <summary>Revokes lent bytes, or returns owned memory to the pool.</summary>
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

    /// <summary>Uses bytes that are valid only during the call.</summary>
    public delegate void Reading<TState>(ref TState state, ReadOnlySpan<byte> bytes) where TState : allows ref struct;
}
