using OrleansMq.Gateways.Amqp.Alarms;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// What the consumers of one connection have received for its client, and the client has not read yet. Each receives a share of what the
/// connection may have in memory. A message that has no room then is received without its body, and read again in its turn, one at a time.
/// Thread safe.
/// </summary>
/// <param name="memory">The memory of all connections.</param>
internal sealed class UnreadDeliveries(CopyMemory memory)
{
    // A burst may come to all consumers at once.
    private const int IdlePerBusy = 8;

    private int _consumers;
    private int _busy;

    /// <summary>The messages in memory.</summary>
    public ConnectionCopies Copies { get; } = new(memory);

    /// <summary>The turn of those that are read again.</summary>
    public SemaphoreSlim Turn { get; } = new(1);

    /// <summary>The bytes that a consumer should receive at once, where all others may receive as many.</summary>
    public long FirstShare => Copies.Allowed / Math.Max(Volatile.Read(ref _consumers), 1);

    /// <summary>The bytes that a consumer should receive at once, where most others have nothing to receive.</summary>
    public long Share => Copies.Allowed / Math.Max(Volatile.Read(ref _busy) + 1, Volatile.Read(ref _consumers) / IdlePerBusy);

    /// <summary>A consumer has received messages.</summary>
    public void Begin() => Interlocked.Increment(ref _busy);

    /// <summary>It has delivered them.</summary>
    public void End() => Interlocked.Decrement(ref _busy);

    /// <summary>A consumer begins.</summary>
    public void Add() => Interlocked.Increment(ref _consumers);

    /// <summary>A consumer has ended.</summary>
    public void Remove() => Interlocked.Decrement(ref _consumers);
}
