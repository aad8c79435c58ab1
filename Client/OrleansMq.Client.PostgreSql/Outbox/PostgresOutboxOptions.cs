namespace OrleansMq.Client.PostgreSql;

/// <summary>Options of an outbox. Every process of the service has the same.</summary>
public sealed record PostgresOutboxOptions
{
    /// <summary>The name of the outbox: <c>outbox</c> by default. Outboxes of one database have different names.</summary>
    public string Name { get; init; } = "outbox";

    /// <summary>Whether this process relays messages, when no other one does: true by default.</summary>
    public bool RunsRelay { get; init; } = true;

    /// <summary>Whether a transaction that adds a message notifies the relay as it commits (<c>NOTIFY</c>): true by default. PostgreSQL
    /// commits notifying transactions one after the other; without it a message waits up to <see cref="PollInterval"/>.</summary>
    public bool Notifies { get; init; } = true;

    /// <summary>How often the relay looks for messages without a notification: 1 second by default, 10 milliseconds to 1
    /// minute.</summary>
    public TimeSpan PollInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long after the last sign of life of a relay another process takes over: 15 seconds by default, 1 second to 10 minutes.
    /// A relay that is stopped hands over at once.</summary>
    public TimeSpan LeaseDuration { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How long the stop of a relay waits for messages that are on their way: 5 seconds by default, zero to 5 minutes. Those of
    /// which nothing is heard are sent again by the next relay, under the same sequences.</summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Called before each send, for tests.</summary>
    internal Func<OutboxBatch, Task>? BeforeSend { get; init; }

    /// <summary>Called after each send, for tests.</summary>
    internal Func<OutboxBatch, Task>? AfterSend { get; init; }

    /// <summary>Called before each commit, for tests.</summary>
    internal Func<Task>? BeforeCommit { get; init; }

    /// <summary>The longest pause between attempts to send.</summary>
    internal TimeSpan MaxRetryDelay { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(Name is { Length: > 0 and <= 200 }, nameof(Name), "has 1 to 200 characters");
        Require(PollInterval >= TimeSpan.FromMilliseconds(10) && PollInterval <= TimeSpan.FromMinutes(1), nameof(PollInterval),
            "is 10 milliseconds to 1 minute");
        Require(LeaseDuration >= TimeSpan.FromSeconds(1) && LeaseDuration <= TimeSpan.FromMinutes(10), nameof(LeaseDuration),
            "is 1 second to 10 minutes");
        Require(StopTimeout >= TimeSpan.Zero && StopTimeout <= TimeSpan.FromMinutes(5), nameof(StopTimeout), "is zero to 5 minutes");
    }

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"{nameof(PostgresOutboxOptions)}.{option} {rule}.", option);
    }
}
