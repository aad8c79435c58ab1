using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Partitions;

namespace OrleansMq.Streams;

/// <summary>
/// Carries out the replays of a provider on a silo. Every silo does so for every replay: the replay's cursor gives each event to one of
/// them, and what they decide is the same. The silo that leads the partition looks how far a replay is; the others look now and then, in
/// case that one has no provider.
/// <para>A replay has a cursor of its own, with the events of its stream alone. While it is behind, the cursor of all explicit
/// subscriptions, the shared one, passes its subscription over, and other subscribers go on. When it has nearly caught up,
/// <see cref="ReplayStep.Joining"/> is written. From then on the shared cursor keeps the stream's events back, so that it has passed over
/// nothing above the end that the partition has after that. When the replay has settled everything below that end,
/// <see cref="ReplayStep.Joined"/> is written with it: there the shared cursor takes over. The cursor of the replay is deleted.</para>
/// <para>A replay whose shared cursor is reset, or created again, is over: that one goes on for its subscription, too. The silo that looks
/// finds the cursor's other id, or that which has an event of the stream from the cursor: see <see cref="ExplicitDeliveries"/>.</para>
/// <para>A subscription that is still joining after <see cref="OrleansMqStreamOptions.SplitAfter"/> is split again, which lets the stream
/// go on: another replay takes over where the cursor of this one is, or was when it was last known. The time counts also while looks
/// fail.</para>
/// </summary>
/// <param name="provider">The provider.</param>
/// <param name="client">The broker.</param>
/// <param name="caller">Calls grains.</param>
/// <param name="splits">Splits subscriptions.</param>
/// <param name="logger">Takes failures.</param>
/// <param name="local">The partitions that this silo leads; null: it is no broker.</param>
internal sealed partial class StreamReplays(OrleansMqStreamProvider provider, OrleansMqClient client, GrainCaller caller,
    StreamSplits splits, ILogger logger, ILocalPartitions? local)
{
    private static readonly TimeSpan Backoff = TimeSpan.FromSeconds(1);
    private static readonly OffsetSpec StableEnd = OffsetSpec.Latest with { Isolation = IsolationLevel.ReadCommitted };
    private static readonly TimeSpan JoiningPause = TimeSpan.FromMilliseconds(20);
    // A silo that does not lead the partition looks in one of so many rounds.
    private const int Seldom = 10;
    // Other silos have seen by then that it is over.
    private static readonly TimeSpan DeletePause = TimeSpan.FromSeconds(2);

    private readonly Dictionary<Guid, Task> _running = [];
    // As of the last round.
    private volatile IReadOnlyDictionary<string, Guid> _topics = new Dictionary<string, Guid>();
    private Dictionary<(TopicPartition Partition, string Queue), long> _strays = [];

    /// <summary>Completes when all replays have stopped, after their token was cancelled.</summary>
    public Task StoppedAsync() => Task.WhenAll(_running.Values);

    /// <summary>Begins the replays that the table has and this silo has not begun.</summary>
    /// <param name="topics">The topics that exist, with their ids; null: no others than at the last call.</param>
    /// <param name="stopping">Ends them.</param>
    public void Refresh(IReadOnlyDictionary<string, Guid>? topics, CancellationToken stopping)
    {
        _topics = topics ?? _topics;
        foreach (var (id, _) in _running.Where(static pair => pair.Value.IsCompleted).ToList())
            _running.Remove(id);
        foreach (var (stream, subscription) in provider.Subscriptions.Table.Replays)
        {
            if (!_running.ContainsKey(subscription.Replay!.Id))
                _running[subscription.Replay.Id] = Task.Run(() => RunAsync(stream, subscription, stopping), CancellationToken.None);
        }
    }

    /// <summary>Deletes the cursors of replays that are over, which a silo that died has left behind: they would keep the topic's events.
    /// One is deleted when it was found twice, with a pause in which every subscription that began was written. Removes the records of
    /// replays that are over, too.</summary>
    /// <param name="topics">The topics, with their numbers of partitions.</param>
    /// <param name="pause">The pause.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public async Task SweepAsync(IEnumerable<(string Name, int Partitions)> topics, TimeSpan pause, CancellationToken cancellationToken)
    {
        var now = TimeProvider.System.GetTimestamp();
        var found = new Dictionary<(TopicPartition Partition, string Queue), long>();
        foreach (var partition in PartitionsOf(topics))
        {
            foreach (var queue in await ListAsync(partition, cancellationToken).ConfigureAwait(false))
            {
                if (IsReplay(queue))
                    found[(partition, queue)] = _strays.GetValueOrDefault((partition, queue), now);
            }
        }
        await provider.Subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        var wanted = provider.Subscriptions.Table.Replays.Select(pair => provider.Topics.QueueOf(pair.Subscription.Replay!))
            .ToHashSet(StringComparer.Ordinal);
        _strays = found.Where(pair => !wanted.Contains(pair.Key.Queue)).ToDictionary();
        foreach (var ((partition, queue), since) in _strays)
        {
            if (TimeProvider.System.GetElapsedTime(since) >= pause)
                await DeleteAsync(client, partition, queue, logger).ConfigureAwait(false);
        }
        await provider.Subscriptions.SweepAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Returns the topics that have cursors of explicit subscriptions or of replays, among some.</summary>
    /// <param name="topics">The topics, with their numbers of partitions.</param>
    /// <param name="cancellationToken">Ends it: what was found by then is returned.</param>
    public async Task<IReadOnlySet<string>> FindTopicsAsync(IReadOnlyList<(string Name, int Partitions)> topics,
        CancellationToken cancellationToken)
    {
        var found = new HashSet<string>(StringComparer.Ordinal);
        foreach (var partition in PartitionsOf(topics))
        {
            if (cancellationToken.IsCancellationRequested)
                break;
            if (!found.Contains(partition.Topic) && (await ListAsync(partition, cancellationToken).ConfigureAwait(false))
                .Any(queue => queue == provider.Topics.ExplicitQueue || IsReplay(queue)))
                found.Add(partition.Topic);
        }
        return found;
    }

    private bool IsReplay(string queue) => queue.StartsWith(provider.Topics.ReplayPrefix, StringComparison.Ordinal);

    private static IEnumerable<TopicPartition> PartitionsOf(IEnumerable<(string Name, int Partitions)> topics) =>
        topics.SelectMany(static topic => Enumerable.Range(0, topic.Partitions).Select(number => new TopicPartition(topic.Name, number)));

    // The queues of a partition; none, where it does not answer now.
    private async Task<IReadOnlyList<string>> ListAsync(TopicPartition partition, CancellationToken cancellationToken)
    {
        try
        {
            var queues = await client.Broker.Queues.ListAsync(partition, cancellationToken).ConfigureAwait(false);
            return [.. queues.Select(static queue => queue.Name)];
        }
        catch (BrokerException away)
        {
            LogNotSwept(logger, partition, away);
            return [];
        }
    }

    /// <summary>Deletes the cursor of a replay that is over, when the other silos have seen that.</summary>
    public static async Task DeleteLaterAsync(OrleansMqClient client, TopicPartition partition, string queue, ILogger logger)
    {
        await Task.Delay(DeletePause).ConfigureAwait(false);
        await DeleteAsync(client, partition, queue, logger).ConfigureAwait(false);
    }

    private async Task RunAsync(StreamId stream, ExplicitSubscription subscription, CancellationToken stopping)
    {
        var partition = new TopicPartition(stream.GetNamespace()!, subscription.Partition);
        var hold = new StreamHold(subscription.Replay!.From);
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await ReplayAsync(stream, subscription, partition, hold, stopping).ConfigureAwait(false);
                await DeleteLaterAsync(client, partition, provider.Topics.QueueOf(subscription.Replay!), logger).ConfigureAwait(false);
                return;
            }
            catch (Exception) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception failure)
            {
                await FailedAsync(stream, subscription, partition, hold, failure, stopping).ConfigureAwait(false);
            }
        }
    }

    // Whatever it is, the next try may find it mended; without one the subscription would receive nothing.
    private async Task FailedAsync(StreamId stream, ExplicitSubscription subscription, TopicPartition partition, StreamHold hold,
        Exception failure, CancellationToken stopping)
    {
        LogRetry(logger, stream, subscription.Id, failure);
        await ReleaseAsync(stream, subscription, partition, hold, stopping).ConfigureAwait(false);
        await Task.Delay(Backoff, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    // Where looks fail while the stream waits, it waits no longer than where they succeed. A split that fails, too, is tried again in the
    // next round: the partition or the topic of subscriptions is then away for every subscriber.
    private async Task ReleaseAsync(StreamId stream, ExplicitSubscription subscription, TopicPartition partition, StreamHold hold,
        CancellationToken stopping)
    {
        try
        {
            if (hold.See(await FindStepAsync(subscription.Replay!, stopping).ConfigureAwait(false)) != ReplayStep.Joining
                || !SplitDecision.SplitsAgain(hold.Elapsed, IsNear(partition), provider.Options))
                return;
            LogReleased(logger, stream, subscription.Id, hold.Unsettled);
            await SplitAgainAsync(stream, subscription.Id, subscription.Replay!, hold, stopping).ConfigureAwait(false);
        }
        catch (Exception) when (stopping.IsCancellationRequested)
        {
            // The silo stops.
        }
        catch (Exception failure)
        {
            LogHeld(logger, stream, subscription.Id, failure);
        }
    }

    private bool IsNear(TopicPartition partition) => local?.TryGet(partition, out _) ?? true;

    // False: another replay is the subscription's newest one by now.
    private async Task<bool> SplitAgainAsync(StreamId stream, Guid subscription, Replay replay, StreamHold hold,
        CancellationToken stopping)
    {
        if (provider.Subscriptions.Table.Find(stream, subscription) is not { } current || current.Replay?.Id != replay.Id)
            return false;
        await splits.SplitAgainAsync(stream, current, hold.Unsettled, hold.Failures, stopping).ConfigureAwait(false);
        return true;
    }

    // Completes when the replay is over.
    private async Task ReplayAsync(StreamId stream, ExplicitSubscription subscription, TopicPartition partition, StreamHold hold,
        CancellationToken stopping)
    {
        if (!await BeginAsync(stream, subscription, partition, stopping).ConfigureAwait(false))
            return;
        // It serves over looks that fail. Its end may take as long as its session, and as a call to a partition that does not answer: the
        // stream does not wait for that.
        await using var dispatcher = new CursorDispatcher(client, provider.Topics, provider.Options.Delivery, partition.Topic,
            provider.Topics.QueueOf(subscription.Replay!), new ReplayDeliveries(provider, subscription.Replay!, caller), priorityOf: null,
            logger, partition.Partition);
        for (var isBegun = true; ; isBegun = false)
        {
            try
            {
                if (isBegun || await BeginAsync(stream, subscription, partition, stopping).ConfigureAwait(false))
                    await JoinAsync(stream, subscription, partition, hold, stopping).ConfigureAwait(false);
                return;
            }
            catch (Exception failure) when (!stopping.IsCancellationRequested)
            {
                await FailedAsync(stream, subscription, partition, hold, failure, stopping).ConfigureAwait(false);
            }
        }
    }

    // The replay's cursor then exists. False: the replay is over.
    private async Task<bool> BeginAsync(StreamId stream, ExplicitSubscription subscription, TopicPartition partition,
        CancellationToken stopping)
    {
        var replay = subscription.Replay!;
        if (await FindStepAsync(replay, stopping).ConfigureAwait(false) is null or ReplayStep.Joined)
            return false;
        if (!await HasTopicAsync(partition.Topic, replay, stopping).ConfigureAwait(false))
        {
            LogOtherTopic(logger, stream, subscription.Id);
            await WriteAsync(replay, ReplayStep.Joined, 0, stopping).ConfigureAwait(false);
            return false;
        }
        if (await provider.Topics.CreateReplayQueueAsync(partition, stream.Key, replay, stopping).ConfigureAwait(false) is { } earliest)
            LogEarliest(logger, stream, subscription.Id, replay.From, partition, earliest);
        return true;
    }

    private async Task JoinAsync(StreamId stream, ExplicitSubscription subscription, TopicPartition partition, StreamHold hold,
        CancellationToken stopping)
    {
        var replay = subscription.Replay!;
        long? end = null;
        var isBound = false;
        var began = TimeProvider.System.GetTimestamp();
        var letters = Guid.Empty;
        for (var round = 0; ; round++)
        {
            var step = hold.See(await FindStepAsync(replay, stopping).ConfigureAwait(false));
            if (step is null or ReplayStep.Joined)
                return;
            var isNear = IsNear(partition);
            // While it joins the stream waits.
            var looks = Looks(isNear || step == ReplayStep.Joining, round);
            if (looks && await IsResetAsync(partition, subscription.Queue, stopping).ConfigureAwait(false))
            {
                LogReset(logger, stream, subscription.Id, provider.Topics.ExplicitQueue, partition);
                await WriteAsync(replay, ReplayStep.Joined, 0, stopping).ConfigureAwait(false);
                continue;
            }
            if (step == ReplayStep.Replaying)
            {
                if (isNear || round % Seldom == Seldom - 1)
                    letters = await KeepLettersAsync(stream, replay, partition, letters, stopping).ConfigureAwait(false);
                if (!SplitDecision.MayJoin(replay, TimeProvider.System.GetElapsedTime(began), provider.Options))
                {
                    await Task.Delay(provider.Options.RefreshInterval, stopping).ConfigureAwait(false);
                    continue;
                }
            }
            if (looks)
            {
                if (step == ReplayStep.Joining && !isBound)
                {
                    // Everything that the shared cursor has passed over is below it.
                    (end, isBound) = (await FindEndAsync(partition, OffsetSpec.LatestProven, stopping).ConfigureAwait(false), true);
                }
                // A queue has nothing of what is behind a transaction that is open. Asked for before what is unsettled, which it bounds.
                var stable = end is null ? 0 : await FindEndAsync(partition, StableEnd, stopping).ConfigureAwait(false);
                var first = end is null ? null : await FindUnsettledAsync(partition, replay, stopping).ConfigureAwait(false);
                // Once another silo has joined it, its queue passes over events: what is settled then was not delivered.
                if (hold.See(await FindStepAsync(replay, stopping).ConfigureAwait(false)) != step)
                    continue;
                if (end is { } below && stable >= below && (first is null || first.Offset >= below))
                {
                    await WriteAsync(replay, isBound ? ReplayStep.Joined : ReplayStep.Joining, isBound ? below : 0, stopping)
                        .ConfigureAwait(false);
                    continue;
                }
                hold.Note(first, stable);
                if (SplitDecision.SplitsAgain(hold.Elapsed, isNear, provider.Options)
                    && await SplitAgainAsync(stream, subscription.Id, replay, hold, stopping).ConfigureAwait(false))
                    continue;
                if (!isBound)
                    end = await FindEndAsync(partition, OffsetSpec.Latest, stopping).ConfigureAwait(false);
            }
            await Task.Delay(isBound && isNear ? JoiningPause : provider.Options.RefreshInterval, stopping).ConfigureAwait(false);
        }
    }

    // Returns the id of the dead-letter topic that the replay's cursor has by now.
    private async Task<Guid> KeepLettersAsync(StreamId stream, Replay replay, TopicPartition partition, Guid letters,
        CancellationToken stopping)
    {
        try
        {
            return await provider.Topics.KeepReplayOptionsAsync(partition, stream.Key, replay, letters, _topics, stopping)
                .ConfigureAwait(false);
        }
        catch (BrokerException refused) when (refused.Code != ErrorCode.GroupIdNotFound)
        {
            LogLetters(logger, provider.Topics.QueueOf(replay), partition, refused);
            return letters;
        }
    }

    /// <summary>Whether a silo looks in a round how far a replay is.</summary>
    /// <param name="isNear">Whether it leads the partition, or is none that could; or the replay joins.</param>
    /// <param name="round">The number of the round, from 0.</param>
    internal static bool Looks(bool isNear, int round) => isNear || round % Seldom == 0;

    private async Task<ReplayStep?> FindStepAsync(Replay replay, CancellationToken cancellationToken)
    {
        await provider.Subscriptions.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        return provider.Subscriptions.Table.FindStep(replay.Id);
    }

    private async Task<bool> HasTopicAsync(string topic, Replay replay, CancellationToken cancellationToken)
    {
        try
        {
            return (await client.Broker.DescribeTopicAsync(topic, cancellationToken).ConfigureAwait(false)).TopicId == replay.TopicId;
        }
        catch (BrokerException gone) when (gone.Code == ErrorCode.UnknownTopicOrPartition)
        {
            return false;
        }
    }

    private Task<bool> IsResetAsync(TopicPartition partition, Guid queue, CancellationToken cancellationToken) =>
        provider.Topics.IsResetAsync(partition, queue, cancellationToken).WaitAsync(provider.LongestLook, cancellationToken);

    // The first one. Records that consumers hold are not settled.
    private async Task<QueueRecord?> FindUnsettledAsync(TopicPartition partition, Replay replay, CancellationToken cancellationToken) =>
        (await client.Broker.Queues.PeekAsync(partition, provider.Topics.QueueOf(replay), 1, cancellationToken).AsTask()
            .WaitAsync(provider.LongestLook, cancellationToken).ConfigureAwait(false)).FirstOrDefault();

    private async Task<long> FindEndAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken)
    {
        var end = await client.Broker.FindOffsetAsync(partition, spec, cancellationToken).AsTask()
            .WaitAsync(provider.LongestLook, cancellationToken).ConfigureAwait(false);
        return end.Error == ErrorCode.None ? end.Offset
            : throw new BrokerException(end.Error, end.Message ?? $"The end of {partition} is not known now: {end.Error}.");
    }

    private Task WriteAsync(Replay replay, ReplayStep step, long first, CancellationToken cancellationToken) =>
        provider.Subscriptions.WriteAsync(new ReplayKey(replay.Id, step), new ReplayValue(first), cancellationToken);

    private static async Task DeleteAsync(OrleansMqClient client, TopicPartition partition, string queue, ILogger logger)
    {
        try
        {
            await client.Broker.Queues.DeleteAsync(partition, queue, cancellationToken: CancellationToken.None).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (gone.Code is ErrorCode.GroupIdNotFound or ErrorCode.UnknownTopicOrPartition)
        {
            // Another silo was first.
        }
        catch (BrokerException failure)
        {
            // It is found again as a stray one.
            LogNotDeleted(logger, queue, partition, failure);
        }
    }

    [LoggerMessage(1, LogLevel.Warning, "The replay of stream {Stream} for subscription {Subscription} does not go on now; retrying.")]
    private static partial void LogRetry(ILogger logger, StreamId stream, Guid subscription, Exception reason);

    [LoggerMessage(2, LogLevel.Warning, "The replay of stream {Stream} for subscription {Subscription} is over: its topic was deleted.")]
    private static partial void LogOtherTopic(ILogger logger, StreamId stream, Guid subscription);

    [LoggerMessage(3, LogLevel.Warning, "The replay of stream {Stream} for subscription {Subscription} from offset {From} begins again, "
        + "and {Partition} does not keep that any more: it begins with the earliest one, {Earliest}.")]
    private static partial void LogEarliest(ILogger logger, StreamId stream, Guid subscription, long from, TopicPartition partition,
        long earliest);

    [LoggerMessage(4, LogLevel.Warning, "Queue {Queue} of {Partition}, of a replay that is over, was not deleted; retrying later.")]
    private static partial void LogNotDeleted(ILogger logger, string queue, TopicPartition partition, Exception reason);

    [LoggerMessage(6, LogLevel.Warning, "How far the replay of stream {Stream} for subscription {Subscription} is cannot be told, and the "
        + "stream waits for it: the subscription continues on its own from offset {From}, and the stream goes on.")]
    private static partial void LogReleased(ILogger logger, StreamId stream, Guid subscription, long from);

    [LoggerMessage(7, LogLevel.Warning, "Stream {Stream} waits for its subscription {Subscription}, which can neither join the others nor "
        + "continue on its own now; retrying.")]
    private static partial void LogHeld(ILogger logger, StreamId stream, Guid subscription, Exception reason);

    [LoggerMessage(8, LogLevel.Warning, "Queue {Queue} of {Partition} may have no dead-letter topic; retrying.")]
    private static partial void LogLetters(ILogger logger, string queue, TopicPartition partition, Exception reason);

    [LoggerMessage(9, LogLevel.Information, "The replay of stream {Stream} for subscription {Subscription} is over: queue {Queue} of "
        + "{Partition} was reset, and goes on for it.")]
    private static partial void LogReset(ILogger logger, StreamId stream, Guid subscription, string queue, TopicPartition partition);

    [LoggerMessage(5, LogLevel.Information, "{Partition} was not searched for queues of replays that are over; retrying later.")]
    private static partial void LogNotSwept(ILogger logger, TopicPartition partition, Exception reason);
}
