using System.Runtime.CompilerServices;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Schedules;

namespace OrleansMq.Timers;

/// <summary>Schedules records for the timers' topic. Thread-safe.</summary>
/// <remarks>
/// A timer has no state but its record in the brokers' schedules, and later the record in the topic. What each failure does: a call that is
/// not answered is repeated with the same id, until it is, or too much time has passed; the broker knows it again. The topic is deleted:
/// its timers are dropped by the brokers; the next call creates it again.
/// </remarks>
/// <param name="client">The broker.</param>
/// <param name="options">The options.</param>
/// <param name="catalog">Which classes handle which messages.</param>
internal sealed class DurableTimers(OrleansMqClient client, OrleansMqTimerOptions options, TimerCatalog catalog) : IDurableTimers
{
    private const int PageSize = 1_000;
    private static readonly TimeSpan FirstDelay = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(1);

    private readonly MessageFormats _formats = new(options);
    private volatile Once _topic = OnceOf(client, options);

    /// <inheritdoc/>
    public Task<DurableTimer> ScheduleAsync<TMessage>(IAddressable grain, DateTimeOffset at, TMessage message, string? id = null,
        CancellationToken cancellationToken = default)
    {
        id ??= Guid.NewGuid().ToString("N");
        return CreateAsync(grain, id, message, type => new NewSchedule(options.Topic)
        {
            At = DateTimeOffset.FromUnixTimeMilliseconds(TimerRecords.MillisecondsOf(at)),
            Headers = TimerRecords.HeadersOf(id, type, at),
        }, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<DurableTimer> ScheduleCronAsync<TMessage>(IAddressable grain, string cron, TMessage message, string id,
        string? timeZone = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(cron);
        ArgumentNullException.ThrowIfNull(id);
        return CreateAsync(grain, id, message, type => new NewSchedule(options.Topic)
        {
            Cron = cron,
            TimeZone = timeZone,
            Headers = TimerRecords.HeadersOf(id, type, cron, timeZone ?? Repetition.DefaultZone),
        }, cancellationToken);
    }

    /// <inheritdoc/>
    public Task<bool> CancelAsync(IAddressable grain, string id, CancellationToken cancellationToken = default)
    {
        var schedule = TimerIds.ScheduleOf(GrainOf(grain), id);
        return RepeatAsync(() => client.Broker.Schedules.CancelAsync(options.Topic, schedule, cancellationToken), cancellationToken);
    }

    /// <inheritdoc/>
    public async Task<DurableTimer?> FindAsync(IAddressable grain, string id, CancellationToken cancellationToken = default)
    {
        var schedule = TimerIds.ScheduleOf(GrainOf(grain), id);
        var found = await RepeatAsync(() => client.Broker.Schedules.FindAsync(options.Topic, schedule, cancellationToken),
            cancellationToken).ConfigureAwait(false);
        return found is null ? null : TimerOf(found, id, GrainOf(grain));
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<DurableTimer> ListAsync(IAddressable? grain = null,
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var wanted = grain is null ? (GrainId?)null : GrainOf(grain);
        string? after = null;
        do
        {
            var query = new ScheduleQuery { Topic = options.Topic, MaxCount = PageSize, After = after };
            var page = await RepeatAsync(() => client.Broker.Schedules.ListAsync(query, cancellationToken), cancellationToken)
                .ConfigureAwait(false);
            foreach (var schedule in page.Schedules)
            {
                if (TimerIds.TryRead(schedule.Id, out var id, out var of)
                    && (wanted is not { } only || schedule.Id == TimerIds.ScheduleOf(only, id)))
                    yield return TimerOf(schedule, id, of ?? wanted);
            }
            after = page.Next;
        }
        while (after is not null);
    }

    private async Task<DurableTimer> CreateAsync<TMessage>(IAddressable grain, string id, TMessage message,
        Func<string, NewSchedule> scheduleOf, CancellationToken cancellationToken)
    {
        var of = GrainOf(grain);
        var type = MessageNames.Of(typeof(TMessage));
        if ((catalog.WhyNotHandled(of, type, typeof(TMessage)) ?? catalog.WhyNoKey(of)) is { } why)
            throw new ArgumentException(why, nameof(grain));
        var schedule = scheduleOf(type) with
        {
            Id = TimerIds.ScheduleOf(of, id),
            Key = TimerRecords.KeyOf(of),
            Value = _formats.Of<TMessage>().Write(message),
        };
        var created = await RepeatAsync(() => client.Broker.Schedules.CreateAsync(schedule, cancellationToken), cancellationToken)
            .ConfigureAwait(false);
        return TimerOf(created, id, of);
    }

    private static GrainId GrainOf(IAddressable grain)
    {
        ArgumentNullException.ThrowIfNull(grain);
        var id = grain.GetGrainId();
        if (id.IsSystemTarget() || id.IsClient())
            throw new ArgumentException($"{id} is not a grain: give the reference of a grain.", nameof(grain));
        return TimerRecords.WhyNotWritable(id) is { } why ? throw new ArgumentException(why, nameof(grain)) : id;
    }

    private static DurableTimer TimerOf(ScheduleDescription schedule, string id, GrainId? grain) => new(id, schedule.At)
    {
        Grain = grain,
        Cron = schedule.Cron,
        TimeZone = schedule.TimeZone,
    };

    // Brokers that lose their leader, or do not know the topic yet, are asked again. Every call may be repeated.
    private async Task<T> RepeatAsync<T>(Func<ValueTask<T>> call, CancellationToken cancellationToken)
    {
        var (began, delay) = (TimeProvider.System.GetTimestamp(), FirstDelay);
        while (true)
        {
            try
            {
                await _topic.EnsureAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
                return await call().ConfigureAwait(false);
            }
            catch (BrokerException refused) when (refused.Code.Action() == ErrorAction.Retry
                || refused.Code == ErrorCode.UnknownTopicOrPartition)
            {
                if (refused.Code is ErrorCode.UnknownTopicOrPartition or ErrorCode.UnknownTopicId)
                    _topic = OnceOf(client, options);
                if (TimeProvider.System.GetElapsedTime(began) + delay > options.Patience)
                    throw;
                await Task.Delay(delay, cancellationToken).ConfigureAwait(false);
                delay = delay * 2 < LongestDelay ? delay * 2 : LongestDelay;
            }
        }
    }

    private static Once OnceOf(OrleansMqClient client, OrleansMqTimerOptions options) =>
        new(new TimerTopics(client, options).CreateAsync);
}
