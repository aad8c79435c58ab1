using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Groups.Share;
using OrleansMq.Replication;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>Finds where a share group begins in the partitions that it does not read yet, before a member's heartbeat is answered: every
/// record of an assigned partition that comes after the answer is delivered.</summary>
internal static class ShareStarts
{
    // The most: a heartbeat must be answered before the member's session ends. One look-up takes no longer.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    // As many lookups run at once for a heartbeat.
    private const int AtATime = 32;

    /// <summary>Sends a heartbeat, and where the group begins if its coordinator asks for that. A partition that does not answer is left
    /// for a later heartbeat, and keeps no member from the others.</summary>
    public static async ValueTask<ShareGroupHeartbeatResult> BeatAsync(RequestContext context, ShareGroupHeartbeat request)
    {
        var groups = context.Broker.Groups;
        var image = context.Services.Metadata.Image;
        var topics = request.SubscribedTopicNames?.Distinct(StringComparer.Ordinal).Select(name => image.FindServed(name)?.TopicId)
            .OfType<Guid>().ToArray() ?? [];
        var first = await groups.ShareGroupHeartbeatAsync(request with { StartsFollow = topics }, context.Aborted).ConfigureAwait(false);
        if (first.Error != ErrorCode.None || first.Unstarted.Count == 0)
            return first;
        var starts = await FindAsync(context, request.GroupId, first).ConfigureAwait(false);
        if (starts.Count == 0)
            return first;
        var second = await groups.ShareGroupHeartbeatAsync(request with
        {
            MemberEpoch = first.MemberEpoch,
            SubscribedTopicNames = null,
            Starts = starts,
        }, context.Aborted).ConfigureAwait(false);
        return second.Error switch
        {
            ErrorCode.None => second with { Assignment = second.Assignment ?? first.Assignment },
            // Meanwhile its session ended, or another one joined under its id: it joins anew.
            ErrorCode.UnknownMemberId or ErrorCode.FencedMemberEpoch => second,
            // The first one is in force, whatever became of the second.
            _ => first,
        };
    }

    /// <summary>Returns the time of the first record, in milliseconds since 1970.</summary>
    /// <param name="now">The time.</param>
    /// <param name="age">The age of the first record; it may be longer ago than any calendar.</param>
    public static long SinceOf(DateTimeOffset now, TimeSpan age) =>
        Math.Max(now.ToUnixTimeMilliseconds() - (long)age.TotalMilliseconds, 0);

    private static async Task<IReadOnlyList<ShareCursorMove>> FindAsync(RequestContext context, string groupId,
        ShareGroupHeartbeatResult beat)
    {
        var now = context.Services.Options.TimeProvider.GetUtcNow();
        var lookUps = context.Services.Shares.Starts;
        if (!PlacesOf(context, groupId, beat).Any(place => lookUps.IsDue(place)))
            return [];
        var found = await context.Broker.Groups.SendAsync(new FindShareCursors(groupId), context.Aborted).ConfigureAwait(false);
        if (found.Error != ErrorCode.None)
        {
            Log(context, groupId, $"its cursors cannot be read: {found.Error}: {found.Message}");
            return [];
        }
        var config = ShareGroupConfig.Of(found.Configs);
        var partitions = (from place in PlacesOf(context, groupId, beat)
                          where lookUps.IsDue(place)
                          let cursors = found.Topics.FirstOrDefault(cursors => cursors.TopicId == place.TopicId)
                          where cursors is not null
                          select (Place: place, Cursors: cursors)).ToArray();
        // Those that do not answer would take the time of the same ones with each heartbeat.
        Random.Shared.Shuffle(partitions);
        var starts = new ConcurrentBag<ShareCursorMove>();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(context.Aborted);
        patience.CancelAfter(config.SessionTimeout / 3 is var third && third < Patience ? third : Patience);
        try
        {
            await Parallel.ForEachAsync(partitions,
                new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = patience.Token }, async (partition, ended) =>
                {
                    var (place, cursors) = partition;
                    var since = beat.NewTopics.Contains(place.TopicId) ? (DateTimeOffset?)null : cursors.Since;
                    var start = await lookUps.FindAsync(place, cursors.Incarnation, () => LookUpAsync(context, place, config, since, now))
                        .WaitAsync(ended).ConfigureAwait(false);
                    if (start.Error == ErrorCode.None)
                        starts.Add(new ShareCursorMove(place.TopicId, place.Partition, start.Offset));
                }).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!context.Aborted.IsCancellationRequested)
        {
            // What was found until now is told.
        }
        return [.. starts];
    }

    // The partitions with a leader.
    private static IEnumerable<ShareStartPlace> PlacesOf(RequestContext context, string groupId, ShareGroupHeartbeatResult beat)
    {
        var topics = context.Services.Metadata.Image.Topics;
        return from topic in beat.Unstarted
               let served = topics.GetValueOrDefault(topic.TopicId)
               where served is not null
               from partition in topic.Partitions
               where (uint)partition < (uint)served.Serving && served.Partitions[partition].Leader != PartitionState.NoLeader
               select new ShareStartPlace(groupId, topic.TopicId, partition);
    }

    // Ends in time by itself: the member that began it may leave, and others wait for it.
    private static async Task<OffsetResult> LookUpAsync(RequestContext context, ShareStartPlace place, ShareGroupConfig config,
        DateTimeOffset? since, DateTimeOffset now)
    {
        if (context.Services.Metadata.Image.Topics.GetValueOrDefault(place.TopicId) is not { } topic)
            return new OffsetResult(ErrorCode.UnknownTopicOrPartition, -1);
        var partition = new TopicPartition(topic.Name, place.Partition);
        using var patience = new CancellationTokenSource(Patience);
        try
        {
            var start = await FindAsync(context.Broker, partition, config, since, now, patience.Token).WaitAsync(patience.Token)
                .ConfigureAwait(false);
            if (start.Error is not (ErrorCode.None or ErrorCode.LeaderNotAvailable or ErrorCode.NotLeaderOrFollower
                or ErrorCode.OffsetNotAvailable) && !ShareResult.IsPassing(start.Error))
                Log(context, place.GroupId, $"where it begins in {partition} cannot be found: {start.Error}: {start.Message}");
            return start;
        }
        catch (OperationCanceledException)
        {
            return new OffsetResult(ErrorCode.RequestTimedOut, -1);
        }
    }

    /// <summary>Finds the first record of a partition.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="partition">The partition.</param>
    /// <param name="config">The group's configuration.</param>
    /// <param name="since">When the group began to read the topic; null: now. What was appended since then is not skipped, as far as its
    /// producers' clocks are right.</param>
    /// <param name="now">The time.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    private static async Task<OffsetResult> FindAsync(IBroker broker, TopicPartition partition, ShareGroupConfig config,
        DateTimeOffset? since, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var spec = config.Start switch
        {
            ShareStart.Earliest => OffsetSpec.Earliest,
            ShareStart.ByDuration => OffsetSpec.AtOrAfter(SinceOf(since ?? now, config.StartAge)),
            _ => since is { } begun ? OffsetSpec.AtOrAfter(begun.ToUnixTimeMilliseconds()) : OffsetSpec.Latest,
        };
        if (spec.Value < 0)
            return await broker.FindOffsetAsync(partition, spec, cancellationToken).ConfigureAwait(false);
        // Before the time, so that no record between the two is skipped: no record may be young enough, and then the next one is.
        var end = await broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
        if (end.Error != ErrorCode.None)
            return end;
        var found = await broker.FindOffsetAsync(partition, spec, cancellationToken).ConfigureAwait(false);
        return found is { Error: ErrorCode.None, Offset: < 0 } ? end : found;
    }

    // Clients see that the partition is not theirs, and not why.
    private static void Log(RequestContext context, string groupId, string cause) =>
        context.Services.Shares.NotServed.Write(EngineLogLevel.Warning, $"Share group '{groupId}' is not served: {cause}");
}
