using OrleansMq.Consumers;

namespace OrleansMq.Timers;

/// <summary>A grain that receives messages of <see cref="IDurableTimers"/>. A class implements it for each type of message.</summary>
/// <typeparam name="TMessage">The type of messages. Its name is stored with a timer: <c>[Alias("...")]</c> keeps it where the type is
/// renamed.</typeparam>
public interface IDurableTimerHandler<TMessage>
{
    /// <summary>Handles a message that is due. The timer is settled when the call has completed. If the call throws, the message comes
    /// again after a delay, and is dead-lettered in the end. Calls are one at a time, in the order in which the timers fired, also where
    /// the class is reentrant. A message may come again: <see cref="ProcessedOffsets"/> makes its effect on the grain's state happen once,
    /// with <see cref="FiredTimer.Position"/>.</summary>
    /// <param name="message">The message.</param>
    /// <param name="timer">The timer.</param>
    /// <param name="cancellationToken">Is cancelled when the message goes to another call: the time of a call is over (five minutes), the
    /// message's lock has ended, or a silo stops, the one that delivers or the grain's. What the method has done by its end is then not
    /// settled. An <see cref="OperationCanceledException"/> counts as an attempt after the five minutes, and not otherwise.</param>
    Task HandleTimerAsync(TMessage message, FiredTimer timer, CancellationToken cancellationToken);
}

/// <summary>A timer that has fired.</summary>
/// <param name="Position">Where its message stands, for <see cref="ProcessedOffsets"/>.</param>
public sealed record FiredTimer(RecordPosition Position)
{
    /// <summary>Its id among those of the grain.</summary>
    public string Id { get; init; } = "";

    /// <summary>When it was due. Where it repeats: the last time of its expression before it fired.</summary>
    public DateTimeOffset Due { get; init; }

    /// <summary>When it fired: the brokers had it appended to the timers' topic.</summary>
    public DateTimeOffset FiredAt { get; init; }

    /// <summary>The expression by which it repeats; null: it does not.</summary>
    public string? Cron { get; init; }

    /// <summary>The number of this attempt, from 1. The death of a silo that delivered it counts as an attempt.</summary>
    public int Attempt { get; init; } = 1;

    /// <summary>Whether it may have been delivered before.</summary>
    public bool IsRedelivered { get; init; }
}
