namespace OrleansMq.Outboxes;

/// <summary>Options of the outboxes of a silo. Every silo has the same.</summary>
public sealed record OrleansMqOutboxOptions
{
    /// <summary>The most messages that wait or are parked in one outbox: 1,000 by default, 1 to 100,000. They are part of every write of
    /// the state.</summary>
    public int MaxPending { get; init; } = 1_000;

    /// <summary>The most bytes of them: 4 MiB by default, 1 KiB to 256 MiB.</summary>
    public int MaxPendingBytes { get; init; } = 4 << 20;

    /// <summary>How long after a grain's write, at least, a silo looks whether its messages are delivered: 30 seconds by default, 1 second
    /// to 1 hour. Messages of a silo that died are delivered after about that time. A grain that keeps writing is looked at once in
    /// it.</summary>
    public TimeSpan WakeUpDelay { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a grain stays without a write before its delivered messages are removed from its state: 5 minutes by default, zero
    /// to 1 hour. The next write removes them otherwise, and so does the end of the activation.</summary>
    public TimeSpan CleanUpDelay { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>How long the end of an activation waits for messages to be delivered: 5 seconds by default, zero to 5 minutes. A wake-up
    /// delivers the rest.</summary>
    public TimeSpan DeactivationTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Called in the activation's turn before each send, for tests.</summary>
    internal Func<GrainId, TopicPartition, Task>? BeforeSend { get; init; }

    /// <summary>Called before a wake-up is stored, for tests.</summary>
    internal Func<GrainId, Task>? BeforeWakeUp { get; init; }

    /// <summary>The longest pause between attempts to send.</summary>
    internal TimeSpan MaxRetryDelay { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The age at which a wake-up that is not settled is stored again, at the end of its topic. The topic is kept from its first
    /// unsettled record on.</summary>
    internal TimeSpan MaxRecordAge { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How long <see cref="IOutbox.FlushAsync"/> waits without a token that can be cancelled.</summary>
    internal TimeSpan FlushTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(MaxPending is >= 1 and <= 100_000, nameof(MaxPending), "is 1 to 100,000");
        Require(MaxPendingBytes is >= 1 << 10 and <= 256 << 20, nameof(MaxPendingBytes), "is 1 KiB to 256 MiB");
        Require(WakeUpDelay >= TimeSpan.FromSeconds(1) && WakeUpDelay <= TimeSpan.FromHours(1), nameof(WakeUpDelay),
            "is 1 second to 1 hour");
        Require(CleanUpDelay >= TimeSpan.Zero && CleanUpDelay <= TimeSpan.FromHours(1), nameof(CleanUpDelay), "is zero to 1 hour");
        Require(DeactivationTimeout >= TimeSpan.Zero && DeactivationTimeout <= TimeSpan.FromMinutes(5), nameof(DeactivationTimeout),
            "is zero to 5 minutes");
    }

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"{nameof(OrleansMqOutboxOptions)}.{option} {rule}.", option);
    }
}
