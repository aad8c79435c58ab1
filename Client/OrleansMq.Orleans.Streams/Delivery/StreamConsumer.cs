using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using Orleans.Streams.Core;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>The subscriptions of one activation: their observers, and how far each was served. Runs in the activation's turns.</summary>
/// <param name="context">The activation.</param>
/// <param name="services">The silo's services.</param>
internal sealed class StreamConsumer(IGrainContextAccessor context, IServiceProvider services) : IStreamConsumer
{
    // The last event of a call then has nearly all of the time that a call may take.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(1);

    // So many subscriptions of an activation are not looked at.
    private const int FewSubscriptions = 16;

    private const string StillObserves = "An observer of the grain still has an event that was delivered before.";

    private static readonly DeliveryAnswer Served = new(1, DeliveryOutcome.Served);
    private static readonly DeliveryAnswer Waits = new(0, DeliveryOutcome.Waits);
    private static readonly DeliveryAnswer Removed = new(0, DeliveryOutcome.Removed);
    // How long a call waits for an earlier one.
    private static readonly TimeSpan TurnTimeout = TimeSpan.FromMinutes(1);

    private readonly IGrainContext _grain = context.GrainContext;
    private readonly Dictionary<Guid, Attached> _attached = [];
    // Until the topic of subscriptions has them no more.
    private readonly Dictionary<Guid, SubscriptionPlace?> _removed = [];
    // Of subscriptions that are being resumed from a token.
    private readonly Dictionary<Guid, Resuming> _resuming = [];
    // One observer of the grain has events at a time, also where calls interleave. It needs no disposal: nothing takes its wait handle.
    private readonly SemaphoreSlim _turn = new(1);
    private readonly CurrentDeliveries _deliveries = new();
    private int _trimFrom = FewSubscriptions;

    /// <summary>The number of subscriptions that it remembers: those with an observer, those that are removed, and those that are being
    /// resumed from a token.</summary>
    internal (int Attached, int Removed, int Resuming) Remembered => (_attached.Count, _removed.Count, _resuming.Count);

    /// <summary>Attaches an observer, in place of an earlier one of the subscription.</summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="observer">The observer.</param>
    /// <param name="replay">The newest replay of the subscription, as far as the caller knows; null: it has none.</param>
    public void Attach(Guid subscription, IStreamObserver observer, Replay? replay = null)
    {
        if (_attached.TryGetValue(subscription, out var attached))
            attached.Observer = observer;
        else
            _attached[subscription] = attached = new Attached(observer);
        _removed.Remove(subscription);
        var origin = attached.Served.Replay.Origin;
        attached.Served.Begin(KnownReplay.Of(replay));
        // What the observer has now says nothing of how far a replay from a new token is.
        if (attached.Served.Replay.Origin != origin)
            attached.Observed = null;
    }

    /// <summary>The call that subscribed or resumed has succeeded: the subscription stays until it is removed.</summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="place">Where the activation sees that it is gone.</param>
    public void Know(Guid subscription, SubscriptionPlace place)
    {
        if (_attached.TryGetValue(subscription, out var attached))
            attached.Place = place;
    }

    /// <summary>Whether a call of this activation has subscribed or resumed.</summary>
    /// <param name="subscription">The subscription.</param>
    public bool Knows(Guid subscription) => _attached.GetValueOrDefault(subscription)?.Place is not null;

    /// <summary>Forgets the subscriptions that are gone, when there are twice as many subscriptions as after the last time.</summary>
    public void Trim()
    {
        if (_attached.Count + _removed.Count < _trimFrom)
            return;
        foreach (var (gone, _) in _attached.Where(static pair => pair.Value.Place?.IsGone == true).ToList())
            _attached.Remove(gone);
        foreach (var (gone, _) in _removed.Where(static pair => pair.Value?.IsGone == true).ToList())
            _removed.Remove(gone);
        _trimFrom = Math.Max(FewSubscriptions, 2 * (_attached.Count + _removed.Count));
    }

    /// <summary>
    /// Begins to resume a subscription from a token, when no other call does so: the activation of such a subscription is between two
    /// replays, and each call goes back to the one that was before it. Of calls that interleave, the later one waits for the earlier one.
    /// </summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="longest">How long it waits.</param>
    /// <returns>What ends it; null: the earlier call has not ended.</returns>
    public async Task<IDisposable?> TryResumeAsync(Guid subscription, TimeSpan longest)
    {
        if (!_resuming.TryGetValue(subscription, out var resuming))
            _resuming[subscription] = resuming = new Resuming();
        resuming.Calls++;
        if (await resuming.Turn.WaitAsync(longest))
            return new Resumption(this, subscription, resuming);
        Leave(subscription, resuming);
        return null;
    }

    private void Leave(Guid subscription, Resuming resuming)
    {
        if (--resuming.Calls == 0)
            _resuming.Remove(subscription);
    }

    /// <summary>Returns what takes an attachment back to what it is now, for a call that resumes the subscription from a token and is given
    /// up. It does nothing where the replay that was attached since then has delivered: that one is in force, or one that is later. The
    /// observer stays that of a later call without a token.</summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="next">The call's observer.</param>
    public Action Keep(Guid subscription, IStreamObserver next)
    {
        var before = _attached.GetValueOrDefault(subscription);
        var (observer, replay) = (before?.Observer, before?.Served.Replay ?? default);
        return () =>
        {
            // Where it was removed in the meantime, this call has attached it again.
            if (!_attached.TryGetValue(subscription, out var attached) || !attached.Served.GoBack(attached == before ? replay : default))
                return;
            // The table may have begun one meanwhile that is later than what is known now.
            attached.Begun = null;
            if (attached.Observer != next)
                return;
            if (attached == before)
                attached.Observer = observer!;
            else
                _attached.Remove(subscription);
        };
    }

    /// <summary>Attaches an observer to a subscription that the grain has by its class, and replays it: in place of a replay that the
    /// activation has.</summary>
    /// <param name="observer">The observer.</param>
    /// <param name="replay">The replay.</param>
    public void Replay(IStreamObserver observer, ActivationReplay replay)
    {
        Attach(replay.Subscription, observer);
        var attached = _attached[replay.Subscription];
        attached.Replay?.Leave();
        attached.Replay = replay;
        // The replay tries them again. What is kept is below where it is, so the class's cursor can settle it.
        foreach (var key in attached.Refused.Keys.Where(key => key.Queue == replay.Place.Queue && key.Offset >= replay.Next).ToList())
            attached.Refused.Remove(key);
    }

    /// <summary>Passes events of a replay to the observer, unless it is over.</summary>
    /// <param name="replay">The replay.</param>
    /// <param name="delivery">The events.</param>
    /// <param name="first">The index of the first one.</param>
    /// <param name="end">The index after the last one.</param>
    public async Task<DeliveryAnswer> ObserveAsync(ActivationReplay replay, StreamDelivery delivery, int first, int end)
    {
        if (Find(replay) is not { } attached)
            return Removed;
        if (!await _turn.WaitAsync(TurnTimeout))
            throw new TimeoutException(StillObserves);
        try
        {
            return await ObserveAsync(delivery, first..end, attached, TimeProvider.System.GetTimestamp(), offset =>
                attached.Replay != replay ? Removed : offset < replay.Next ? Served : null, offset => replay.Observed = offset,
                offset =>
                {
                    replay.Next = offset + 1;
                }, static (_, _) => Task.CompletedTask);
        }
        finally
        {
            replay.Observed = null;
            _turn.Release();
        }
    }

    /// <summary>Passes over an event of a replay, which has failed. Where the class's cursor has not settled it, that dead-letters
    /// it.</summary>
    /// <returns>What the observer threw when it was told; null: nothing.</returns>
    /// <exception cref="InvalidOperationException">There are as many such events as there may be.</exception>
    public async Task<Exception?> GiveUpAsync(ActivationReplay replay, long offset, Exception cause)
    {
        if (Find(replay) is not { } attached)
            return null;
        if (!await _turn.WaitAsync(TurnTimeout))
            throw new TimeoutException(StillObserves);
        try
        {
            // A call that was not waited for may have served it.
            if (attached.Replay != replay || offset < replay.Next)
                return null;
            Refuse(attached, replay, offset, cause);
            return await attached.Observer.GivenUpAsync(offset, cause);
        }
        finally
        {
            _turn.Release();
        }
    }

    private static void Refuse(Attached attached, ActivationReplay replay, long offset, Exception cause)
    {
        foreach (var key in attached.Refused.Keys.Where(key => key.Queue != replay.Place.Queue || key.Offset < replay.Floor).ToList())
            attached.Refused.Remove(key);
        if (offset >= replay.Floor)
        {
            if (attached.Refused.Count >= ActivationReplay.MostRefused)
            {
                throw new InvalidOperationException($"{ActivationReplay.MostRefused} events have failed in the replay of subscription "
                    + $"{replay.Subscription}, and may not be settled in queue '{replay.Place.QueueName}': it waits for that.");
            }
            attached.Refused[(replay.Place.Queue, offset)] = cause.Message;
        }
        replay.Next = offset + 1;
    }

    /// <summary>Ends a replay: from now on the class's cursor delivers.</summary>
    /// <param name="replay">The replay.</param>
    /// <param name="position">What is below it is served; null: the cursor is another one, and delivers everything.</param>
    /// <returns>True: it is over.</returns>
    public async Task<bool> EndAsync(ActivationReplay replay, long? position)
    {
        if (Find(replay) is not { } attached)
            return true;
        // Where calls interleave, one of the cursor may have an event from before the token.
        if (!await _turn.WaitAsync(TurnTimeout))
            throw new TimeoutException(StillObserves);
        try
        {
            if (Find(replay) != attached)
                return true;
            if (position is { } end)
            {
                attached.Served.Serve(attached.Served.Replay, replay.Place.Queue, replay.Place.Partition.Partition,
                    Math.Max(end, replay.Next) - 1);
            }
            attached.Replay = null;
            replay.IsOver = true;
            return true;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Detaches the observer of a subscription that is removed. A late event for it is not offered to the grain.</summary>
    /// <param name="subscription">The subscription.</param>
    /// <param name="place">Where the activation sees that it is gone; null: it does not look.</param>
    public void Remove(Guid subscription, SubscriptionPlace? place = null)
    {
        _attached.Remove(subscription);
        _removed[subscription] = place;
    }

    /// <inheritdoc/>
    public async Task<DeliveryAnswer> DeliverAsync(StreamDelivery delivery)
    {
        DeliveredOffsets.Validate<StreamItem, StreamId>(delivery.Items, static item => item.Offset, delivery.Stream, delivery.Partition);
        using var current = _deliveries.Begin(delivery.DeliveryId);
        // A dispatcher that could not settle what it delivers may still wait for its call, also where calls interleave.
        if (!await _turn.WaitAsync(TurnTimeout))
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, StillObserves);
        try
        {
            return await DeliverInTurnAsync(delivery, TimeProvider.System.GetTimestamp());
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <inheritdoc/>
    public Task<bool> IsDeliveringAsync(Guid delivery) =>
        Task.FromResult(_deliveries.Has(delivery) || OrleansMqStreamProvider.IsStatelessWorker(_grain));

    private async Task<DeliveryAnswer> DeliverInTurnAsync(StreamDelivery delivery, long began)
    {
        if (!_attached.TryGetValue(delivery.Subscription, out var attached))
        {
            if (await AnswerIfRemovedAsync(delivery) is { } removed)
                return removed;
            if (_grain.GrainInstance is IStreamSubscriptionObserver late && await OfferAsync(late, delivery) is { } refused)
                return refused;
            if (!_attached.TryGetValue(delivery.Subscription, out attached))
                return OfOtherVersion(delivery) ?? NotObserved(delivery, 0);
        }
        if (await AskAsync(attached) is { } answer)
            return answer;
        try
        {
            return await ObserveAsync(delivery, attached, began);
        }
        finally
        {
            attached.Observed = null;
        }
    }

    // Another activation of the grain may have resumed or removed the subscription after this one began. A call of a cursor that began
    // before that, and has waited for this activation, does not know of it: the table is asked once. Null: the events are delivered.
    private static async Task<DeliveryAnswer?> AskAsync(Attached attached)
    {
        if (attached.HasAsked || attached.Place is not { } place)
            return null;
        try
        {
            await place.CatchUpAsync();
        }
        catch (Exception unknown) when (unknown is OrleansMqException or TimeoutException)
        {
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, Causes.Of(unknown));
        }
        if (place.IsGone)
            return Removed;
        attached.HasAsked = true;
        return null;
    }

    // Null: the subscription is not known to be removed.
    private async Task<DeliveryAnswer?> AnswerIfRemovedAsync(StreamDelivery delivery)
    {
        if (_removed.TryGetValue(delivery.Subscription, out var place) && place?.IsKept != true)
            return Removed;
        // A call of this activation has given it up, and another activation has resumed it.
        _removed.Remove(delivery.Subscription);
        try
        {
            return await Provider(delivery).IsRemovedAsync(_grain, delivery.Stream, delivery.Subscription) ? Removed : null;
        }
        catch (Exception unknown) when (unknown is BrokerException or TimeoutException)
        {
            return new DeliveryAnswer(0, DeliveryOutcome.Unreachable, Causes.Of(unknown));
        }
    }

    /// <inheritdoc/>
    public Task<long?> FindObservedAsync(Guid subscription) =>
        Task.FromResult(_attached.GetValueOrDefault(subscription)?.Observed?.Offset);

    /// <inheritdoc/>
    public Task<long?> FindObservedOfAsync(Guid subscription, Guid queue, int partition) =>
        Task.FromResult(_attached.GetValueOrDefault(subscription)?.Observed is { } observed && observed.Queue == queue
            && observed.Partition == partition ? observed.Offset : (long?)null);

    /// <inheritdoc/>
    public async Task<bool> ReplayAsync(Guid subscription, Guid replay)
    {
        if (_attached.GetValueOrDefault(subscription)?.Replay is not { } current || current.Id != replay)
            return false;
        await current.RunAsync();
        return true;
    }

    private Attached? Find(ActivationReplay replay) =>
        _attached.TryGetValue(replay.Subscription, out var attached) && attached.Replay == replay ? attached : null;

    private async Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, Attached attached, long began)
    {
        var (events, replay) = (attached.Served, KnownReplay.Of(delivery));
        if (IsOutdated(attached, replay))
            return Replayed(delivery, 0);
        events.Deliver(replay);
        return await ObserveAsync(delivery, .., attached, began, Check,
            offset => attached.Observed = (delivery.Queue, delivery.Partition, offset),
            offset => events.Serve(replay, delivery.Queue, delivery.Partition, offset),
            (index, answer) => IsLast(delivery, answer.Outcome, index) ? TellAsync(delivery, attached.Observer, index, answer.Cause)
                : Task.CompletedTask);

        // The event before may have removed the subscription, or resumed it from a token, and so may another activation.
        DeliveryAnswer? Check(long offset) => _attached.GetValueOrDefault(delivery.Subscription) != attached ? NotObserved(delivery, 0)
            : IsOutdated(attached, replay) ? Replayed(delivery, 0)
            : attached.Replay is { } own && own.Place.Partition.Partition == delivery.Partition
                ? own.Place.Queue == delivery.Queue && offset < own.Next ? ServedOrRefused(delivery, attached, offset) : Waits
            // Delivered before, by a dispatcher that could not settle it, or that another cursor has taken over from, or by a replay.
            : offset <= events.Last(delivery.Queue, delivery.Partition) ? ServedOrRefused(delivery, attached, offset) : null;
    }

    // Whether a later replay is known. The table is looked at where the silo has read that one has begun, which costs no request.
    private static bool IsOutdated(Attached attached, KnownReplay replay)
    {
        if (attached.Place is { } place && place.Begun is var begun && begun != attached.Begun)
        {
            attached.Begun = begun;
            attached.Served.Learn(KnownReplay.Of(place.Replay));
        }
        return attached.Served.IsOutdated(replay);
    }

    private static DeliveryAnswer ServedOrRefused(StreamDelivery delivery, Attached attached, long offset) =>
        attached.Refused.TryGetValue((delivery.Queue, offset), out var cause) ? new(0, DeliveryOutcome.Unreadable, cause) : Served;

    // Passes events to the observer. The check of the next one says that it is served, why it is not delivered, or nothing.
    private async Task<DeliveryAnswer> ObserveAsync(StreamDelivery delivery, Range wanted, Attached attached, long began,
        Func<long, DeliveryAnswer?> check, Action<long> observe, Action<long> serve, Func<int, DeliveryAnswer, Task> tell)
    {
        var (first, end) = (wanted.Start.GetOffset(delivery.Items.Length), wanted.End.GetOffset(delivery.Items.Length));
        var (count, isApart) = (first, false);
        while (count < end)
        {
            var offset = delivery.Items[count].Offset;
            if (check(offset) is { } checkedAnswer)
            {
                if (checkedAnswer.Outcome != DeliveryOutcome.Served)
                    return checkedAnswer with { Count = count - first };
                count++;
                continue;
            }
            var to = attached.Observer.TakesBatches && !isApart ? end : count + 1;
            observe(offset);
            var answer = await attached.Observer.ObserveAsync(delivery, count, to, services);
            // A batch that failed does not say which of its events is the cause.
            if (answer.Outcome == DeliveryOutcome.Failed && to - count > 1)
            {
                isApart = true;
                continue;
            }
            count += answer.Count;
            if (answer.Count > 0)
                serve(delivery.Items[count - 1].Offset);
            if (answer.Outcome != DeliveryOutcome.Served)
            {
                await tell(count, answer);
                return answer with { Count = count - first };
            }
            if (TimeProvider.System.GetElapsedTime(began) > Longest)
                break;
        }
        return new DeliveryAnswer(count - first, DeliveryOutcome.Served);
    }

    // Whether an event goes to the dead-letter topic if every other subscriber of its stream has served it.
    private bool IsLast(StreamDelivery delivery, DeliveryOutcome outcome, int index) => outcome == DeliveryOutcome.Unreadable
        || outcome == DeliveryOutcome.Failed && delivery.Items[index].Failures + 1 >= Provider(delivery).Options.MaxAttempts;

    private async Task TellAsync(StreamDelivery delivery, IStreamObserver observer, int index, string? cause)
    {
        var given = new OrleansException($"The event at partition {delivery.Partition}, offset {delivery.Items[index].Offset}, of stream "
            + $"{delivery.Stream} was given up after {delivery.Items[index].Failures + 1} attempt(s). {cause}");
        if (await observer.GivenUpAsync(delivery.Items[index].Offset, given) is { } thrown)
            Provider(delivery).LogNotTold(delivery.Stream, thrown);
    }

    private OrleansMqStreamProvider Provider(StreamDelivery delivery) =>
        (OrleansMqStreamProvider)services.GetRequiredKeyedService<IStreamProvider>(delivery.Provider);

    // The replay delivers them.
    private DeliveryAnswer Replayed(StreamDelivery delivery, int count) => new(count, DeliveryOutcome.Unreachable,
        $"Grain {_grain.GrainId} was resuming the subscription from a token, or another cursor took it over, when the event came.");

    private DeliveryAnswer NotObserved(StreamDelivery delivery, int count) => new(count, DeliveryOutcome.NotObserved,
        $"Grain {_grain.GrainId} attached no observer to stream {delivery.Stream} of provider '{delivery.Provider}': subscribe, or resume "
        + $"the subscription's handle, in {nameof(Grain.OnActivateAsync)}, or implement {nameof(IStreamSubscriptionObserver)}.");

    // In a rolling deployment, and after one. Null: the subscription is one of this version.
    private DeliveryAnswer? OfOtherVersion(StreamDelivery delivery)
    {
        var provider = Provider(delivery);
        // A version that subscribed by itself has left it: the class's own subscription has the event.
        if (provider.FindImplicit(_grain, delivery.Stream) is { } own)
            return own == delivery.Subscription ? null : new(delivery.Items.Length, DeliveryOutcome.Served);
        return provider.IsImplicit(_grain, delivery.Stream, delivery.Subscription)
            ? new(0, DeliveryOutcome.Unreachable, $"Grain {_grain.GrainId} is active on a silo whose version of its class does not "
                + $"subscribe to topic '{delivery.Stream.GetNamespace()}'. The event waits for one that does.")
            : null;
    }

    private async Task<DeliveryAnswer?> OfferAsync(IStreamSubscriptionObserver observer, StreamDelivery delivery)
    {
        try
        {
            await observer.OnSubscribed(new SubscriptionHandleFactory(services, delivery.Provider, delivery.Stream, delivery.Subscription));
            return null;
        }
        catch (Exception thrown)
        {
            return new DeliveryAnswer(0, DeliveryOutcome.Failed, Causes.Of(thrown));
        }
    }

    // The calls that resume a subscription from a token, or wait for that. The turn needs no disposal: nothing takes its wait handle.
    private sealed class Resuming
    {
        public SemaphoreSlim Turn { get; } = new(1);
        public int Calls { get; set; }
    }

    private sealed class Resumption(StreamConsumer consumer, Guid subscription, Resuming resuming) : IDisposable
    {
        public void Dispose()
        {
            resuming.Turn.Release();
            consumer.Leave(subscription, resuming);
        }
    }

    private sealed class Attached(IStreamObserver observer)
    {
        public IStreamObserver Observer { get; set; } = observer;
        public ServedEvents Served { get; } = new();
        // Null: it is not known that the subscription stays, or the grain has it by its class.
        public SubscriptionPlace? Place { get; set; }
        // Whether the table was asked which replay is in force.
        public bool HasAsked { get; set; }
        // How many replays had begun when the table was looked at last; null: it was not, or what is known has gone back since.
        public int? Begun { get; set; }
        // The first event that the observer has now from a cursor.
        public (Guid Queue, int Partition, long Offset)? Observed { get; set; }
        // Of a subscription that the grain has by its class.
        public ActivationReplay? Replay { get; set; }
        // What replays have passed over, and the class's cursor may not have settled: with the causes.
        public Dictionary<(Guid Queue, long Offset), string> Refused { get; } = [];
    }
}
