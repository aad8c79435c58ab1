using System.Collections.Immutable;
using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>Delivers to the grains that have subscribed to the events' stream. A subscription that does not keep pace with the others is
/// split from them.</summary>
/// <param name="provider">The provider.</param>
/// <param name="caller">Calls grains.</param>
/// <param name="splits">Splits subscriptions.</param>
internal sealed class ExplicitDeliveries(OrleansMqStreamProvider provider, GrainCaller caller, StreamSplits splits) : IDeliveries
{
    // Each release is stored.
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan WaitPause = TimeSpan.FromMilliseconds(50);
    // After a split that was not written.
    private static readonly TimeSpan SplitPause = TimeSpan.FromSeconds(1);

    /// <inheritdoc/>
    /// <remarks>Such a record belongs to no stream.</remarks>
    public string? CauseWithoutKey => null;

    /// <inheritdoc/>
    public long MaxRun => caller.MaxRun;

    /// <inheritdoc/>
    public async Task<RunAnswer> DeliverAsync(RecordRun records, SemaphoreSlim places, CancellationToken cancellationToken)
    {
        var (run, subscriptions) = (StreamRun.Of(records, this), provider.Subscriptions);
        // A subscription that was answered before an event was appended is in the table now.
        await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        await EndReplaysAsync(run, cancellationToken).ConfigureAwait(false);
        var (subscribers, parts) = FindParts(run);
        var began = TimeProvider.System.GetTimestamp();
        // What is before its first event is found out in the meantime.
        while (parts.Any(static part => part.Step == ReplayStep.Joining))
        {
            if (records.Ended.IsCancellationRequested || TimeProvider.System.GetElapsedTime(began) >= LongestWait)
                return new RunAnswer(0, [new DeliveryAnswer(0, DeliveryOutcome.Waits)]);
            await Task.Delay(WaitPause, cancellationToken).ConfigureAwait(false);
            await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
            await EndReplaysAsync(run, cancellationToken).ConfigureAwait(false);
            (subscribers, parts) = FindParts(run);
        }
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var calls = subscribers.Zip(parts, static (subscription, part) => (subscription, part))
            .Select(pair => Call(run, pair.subscription, pair.part, places, ending.Token)).ToList();
        try
        {
            await AnsweredAsync(run, calls, cancellationToken).ConfigureAwait(false);
            await SplitFailedAsync(run, calls, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            // The calls of those that were split; the others have ended.
            await ending.CancelAsync().ConfigureAwait(false);
            await ((Task)Task.WhenAll(calls.Select(static call => call.Answer))).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        return await AnswerOfAsync(run, calls, cancellationToken).ConfigureAwait(false);
    }

    private async Task<RunAnswer> AnswerOfAsync(StreamRun run, List<SubscriberCall> calls, CancellationToken cancellationToken)
    {
        var subscriptions = provider.Subscriptions;
        var answered = calls.Where(static call => !call.IsSplit).ToList();
        foreach (var call in answered.Where(static call => call.Answer.Result.Outcome == DeliveryOutcome.Removed))
        {
            _ = subscriptions.AbandonEventuallyAsync(OrleansMqStreamProvider.KeyOf(run.Stream, call.Subscription.Id));
        }
        if (answered.TrueForAll(static call => call.Answer.Result.Outcome == DeliveryOutcome.Served))
            return RunAnswer.Of(run.Items.Length, [.. answered.Select(static call => call.Answer.Result)]);
        await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        return RunAnswer.Of(run.Items.Length, [.. answered.Where(call => subscriptions.Table.Find(run.Stream, call.Subscription.Id)
            is not null).Select(static call => StreamSubscribers.AnswerOf(call.Answer.Result))]);
    }

    // Completes when every subscriber has answered or is split.
    private async Task AnsweredAsync(StreamRun run, List<SubscriberCall> calls, CancellationToken cancellationToken)
    {
        var (all, options, progress) = (Task.WhenAll(calls.Select(static call => call.Answer)), provider.Options, run.Records.Progress);
        // Since when one waits for the others, of those that are sent more in the next call.
        long? waitsSince = null;
        while (!all.IsCompleted)
        {
            if (calls.Exists(call => call.IsAhead(run)) || HasOther(run, calls))
                progress.AheadSince ??= TimeProvider.System.GetTimestamp();
            // A subscription that continues on its own takes none of them, and waits for no other.
            else if (calls.Exists(static call => call.IsShared && call.Answer.IsCompletedSuccessfully))
                waitsSince ??= TimeProvider.System.GetTimestamp();
            var left = options.MaxSplits == 0 ? Timeout.InfiniteTimeSpan
                : SplitDecision.Left((progress.AheadSince ?? waitsSince) is { } since ? TimeProvider.System.GetElapsedTime(since) : null,
                    options);
            if (left == TimeSpan.Zero)
            {
                foreach (var call in calls)
                {
                    // It may have answered while another one was split.
                    if (call.Answer.IsCompleted || call.IsSplit)
                        continue;
                    await SplitAsync(run, call, call.Done, run.Records.Messages[call.Done].Failures, cancellationToken)
                        .ConfigureAwait(false);
                }
                if (calls.TrueForAll(static call => call.Answer.IsCompleted || call.IsSplit))
                {
                    await Task.WhenAll(calls.Where(static call => !call.IsSplit).Select(static call => call.Answer)).ConfigureAwait(false);
                    return;
                }
                left = SplitPause;
            }
            using var pause = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            // A subscriber that is ahead of others ends the wait, too: from then on it is held.
            // All may have answered since.
            var next = progress.AheadSince is null ? Task.WhenAny(calls.Where(static call => !call.Answer.IsCompleted)
                .Select(static call => (Task)call.Answer).Append(all)) : (Task)all;
            await Task.WhenAny(next, Task.Delay(left, pause.Token)).ConfigureAwait(false);
            await pause.CancelAsync().ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
        }
        await all.ConfigureAwait(false);
    }

    // One that has subscribed since then.
    private bool HasOther(StreamRun run, List<SubscriberCall> calls)
    {
        var table = provider.Subscriptions.Table;
        return table.Find(run.Stream).Any(subscription => !calls.Exists(call => call.Subscription.Id == subscription.Id)
            && table.PartOf(subscription, run.Partition, run.Queue).Step == ReplayStep.Joined);
    }

    private async Task SplitFailedAsync(StreamRun run, List<SubscriberCall> calls, CancellationToken cancellationToken)
    {
        foreach (var call in calls.Where(static call => !call.IsSplit && call.Answer.Result.Outcome is not (DeliveryOutcome.Served
            or DeliveryOutcome.Removed)))
        {
            var (answer, message) = (call.Answer.Result, run.Records.Messages[call.Answer.Result.Count]);
            var isAhead = HasOther(run, calls)
                || calls.Exists(other => other.IsShared && other.Answer.Result.Count > answer.Count);
            if (SplitDecision.IsSplit(answer, isAhead, message.Failures, message.Deliveries, provider.Options, out var failed))
                await SplitAsync(run, call, answer.Count, failed, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task SplitAsync(StreamRun run, SubscriberCall call, int first, int failures, CancellationToken cancellationToken)
    {
        // Another silo may have delivered these events and later ones.
        run.Records.Ended.ThrowIfCancellationRequested();
        // A split whose outcome was unknown may have come into force, or that of another silo.
        call.IsSplit = IsPassedOver();
        if (call.IsSplit)
            return;
        await splits.TrySplitAsync(run.Stream, call.Subscription, run.Partition, run.Queue, run.Items[first].Offset, failures,
            cancellationToken).ConfigureAwait(false);
        call.IsSplit = IsPassedOver();

        bool IsPassedOver() => provider.Subscriptions.Table is var table && (table.Find(run.Stream, call.Subscription.Id) is not { } found
            || !table.PartOf(found, run.Partition, run.Queue).Takes(run.Items[first].Offset));
    }

    // Those that began before the cursor was reset or created again. Nothing of them is delivered behind its events.
    private async Task EndReplaysAsync(StreamRun run, CancellationToken cancellationToken)
    {
        var (subscriptions, partition) = (provider.Subscriptions, new TopicPartition(run.Records.Topic, run.Partition));
        foreach (var subscription in subscriptions.Table.Find(run.Stream))
        {
            if (subscription.Partition != run.Partition || subscription.Queue == run.Queue || subscription.Replay is not { } replay
                || subscriptions.Table.FindStep(replay.Id) is null or ReplayStep.Joined)
                continue;
            if (!await provider.Topics.IsResetAsync(partition, subscription.Queue, cancellationToken).ConfigureAwait(false))
            {
                throw new BrokerException(ErrorCode.GroupIdNotFound, $"Queue '{provider.Topics.ExplicitQueue}' of {partition} was reset "
                    + "since it delivered the event.");
            }
            try
            {
                await subscriptions.WriteAsync(new ReplayKey(replay.Id, ReplayStep.Joined), new ReplayValue(0), cancellationToken)
                    .ConfigureAwait(false);
            }
            catch (OrleansMqException failure) when (failure is not BrokerException)
            {
                throw new BrokerException(ErrorCode.LeaderNotAvailable, $"That the replay of stream {run.Stream} for subscription "
                    + $"{subscription.Id} is over is not written now.", failure);
            }
            await subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private (ImmutableArray<ExplicitSubscription> Subscribers, List<SharedPart> Parts) FindParts(StreamRun run)
    {
        var table = provider.Subscriptions.Table;
        var subscribers = table.Find(run.Stream);
        return (subscribers, [.. subscribers.Select(subscription => table.PartOf(subscription, run.Partition, run.Queue))]);
    }

    private SubscriberCall Call(StreamRun run, ExplicitSubscription subscription, SharedPart part, SemaphoreSlim places,
        CancellationToken cancellationToken)
    {
        var last = run.Records.Progress.Last(subscription.Id);
        var done = run.Items.TakeWhile(item => item.Offset <= last || !part.Takes(item.Offset)).Count();
        return new SubscriberCall(subscription, part, done, done == run.Items.Length
            ? Task.FromResult(new DeliveryAnswer(done, DeliveryOutcome.Served))
            : DeliverAsync(run, subscription, done, places, cancellationToken));
    }

    private async Task<DeliveryAnswer> DeliverAsync(StreamRun run, ExplicitSubscription subscription, int skipped, SemaphoreSlim places,
        CancellationToken cancellationToken)
    {
        var answer = await caller.DeliverAsync(subscription.Grain,
            new StreamGrainDelivery(run.To(provider.Name, subscription, skipped, run.Queue), run.Records), places,
            cancellationToken).ConfigureAwait(false);
        var count = skipped + answer.Count;
        if (count > 0)
            run.Records.Progress.Serve(subscription.Id, run.Items[count - 1].Offset);
        return answer with { Count = count };
    }

    // A call of one subscriber.
    private sealed class SubscriberCall(ExplicitSubscription subscription, SharedPart part, int done, Task<DeliveryAnswer> answer)
    {
        public ExplicitSubscription Subscription => subscription;

        // The number of events that it had served before the call.
        public int Done => done;

        public Task<DeliveryAnswer> Answer => answer;

        // Whether the shared cursor serves it.
        public bool IsServed => part.Step == ReplayStep.Joined;

        // A replay goes on for it since then.
        public bool IsSplit { get; set; }

        // Whether it goes on with the others.
        public bool IsShared => IsServed && !IsSplit;

        // Whether others hold it: it has served or refused what there is.
        public bool IsAhead(StreamRun run) => IsShared && answer.IsCompletedSuccessfully
            && (answer.Result.Count == run.Items.Length || answer.Result.Outcome != DeliveryOutcome.Served);
    }
}
