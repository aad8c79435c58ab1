namespace OrleansMq.Timers;

/// <summary>
/// Durable timers: a message goes to a grain at a time, once or again and again. The class of the grain implements
/// <see cref="IDurableTimerHandler{TMessage}"/>. Grains, and services of silos and Orleans clients with <c>AddOrleansMqTimers()</c>, take
/// it from their container.
/// <para>An id names a timer among those of its grain. The same call again is the same timer: a call without an answer may be repeated.
/// Another time or message for an id that waits is refused: cancel that timer first.</para>
/// <para>All methods throw a <see cref="BrokerException"/> where the broker refuses. Calls that are not answered are repeated for some 30
/// seconds; the outcome is then unknown: repeat the call with its id. Thread-safe.</para>
/// </summary>
public interface IDurableTimers
{
    /// <summary>Sends a message to a grain at a time. Completes when that is stored.</summary>
    /// <param name="grain">The grain: a reference, or <c>this</c> in a grain.</param>
    /// <param name="at">When it is due, to the millisecond. It never comes earlier. A time that has passed means at once.</param>
    /// <param name="message">The message. Key, message and names have at most 1,000,000 bytes.</param>
    /// <param name="id">Names the timer among those of the grain: 1 to 120 characters; null, the default: a new id.</param>
    /// <param name="cancellationToken">Ends the wait; the outcome is then unknown.</param>
    /// <returns>The timer.</returns>
    /// <exception cref="ArgumentException">No silo hosts the grain's class, or it does not handle messages of this type; or the id is out
    /// of its range.</exception>
    Task<DurableTimer> ScheduleAsync<TMessage>(IAddressable grain, DateTimeOffset at, TMessage message, string? id = null,
        CancellationToken cancellationToken = default);

    /// <summary>Sends a message to a grain again and again, until the timer is cancelled. Completes when that is stored. Times that are
    /// missed, such as in an outage, are not made up: one message comes late, and then the next one at its time.</summary>
    /// <param name="grain">The grain: a reference, or <c>this</c> in a grain.</param>
    /// <param name="cron">When, by local time: five fields, <c>minute hour day month weekday</c>, or six that begin with the second. See
    /// <see cref="Api.NewSchedule.Cron"/>.</param>
    /// <param name="message">The message. Key, message and names have at most 65,536 bytes.</param>
    /// <param name="id">Names the timer among those of the grain: 1 to 120 characters.</param>
    /// <param name="timeZone">The time zone by its IANA id, such as <c>Europe/Berlin</c>; null, the default: UTC.</param>
    /// <param name="cancellationToken">Ends the wait; the outcome is then unknown.</param>
    /// <returns>The timer.</returns>
    /// <exception cref="ArgumentException">As of <see cref="ScheduleAsync"/>.</exception>
    Task<DurableTimer> ScheduleCronAsync<TMessage>(IAddressable grain, string cron, TMessage message, string id,
        string? timeZone = null, CancellationToken cancellationToken = default);

    /// <summary>Cancels a timer. Completes when that is stored.</summary>
    /// <param name="grain">The grain.</param>
    /// <param name="id">The timer's id.</param>
    /// <param name="cancellationToken">Ends the wait; the outcome is then unknown.</param>
    /// <returns>True: its message never comes. One that repeats ends; a message that was due and on its way still comes. False: it does
    /// not wait any more. Its message has come, or is on its way; or it was cancelled, or never there.</returns>
    Task<bool> CancelAsync(IAddressable grain, string id, CancellationToken cancellationToken = default);

    /// <summary>Returns a timer that waits; null: there is none with this id.</summary>
    /// <param name="grain">The grain.</param>
    /// <param name="id">The timer's id.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    Task<DurableTimer?> FindAsync(IAddressable grain, string id, CancellationToken cancellationToken = default);

    /// <summary>Lists the timers that wait, in the order of their times. It reads all of them, also for one grain: a grain finds its own
    /// by their ids. One that repeats and fires meanwhile may come again.</summary>
    /// <param name="grain">The grain; null: all grains.</param>
    /// <param name="cancellationToken">Ends the listing.</param>
    IAsyncEnumerable<DurableTimer> ListAsync(IAddressable? grain = null, CancellationToken cancellationToken = default);
}

/// <summary>A timer that waits.</summary>
/// <param name="Id">Its id among those of its grain.</param>
/// <param name="Due">When it is due; where it repeats, when next.</param>
[GenerateSerializer, Immutable, Alias("omq.DurableTimer")]
public sealed record DurableTimer([property: Id(0)] string Id, [property: Id(1)] DateTimeOffset Due)
{
    /// <summary>The grain; null in a listing of all grains where type and key are too long, or no text.</summary>
    [Id(2)]
    public GrainId? Grain { get; init; }

    /// <summary>When it repeats; null: it does not.</summary>
    [Id(3)]
    public string? Cron { get; init; }

    /// <summary>The time zone of <see cref="Cron"/>; null: it does not repeat.</summary>
    [Id(4)]
    public string? TimeZone { get; init; }
}
