using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Groups.Share;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>Finds where a share group begins in the partitions that it does not read yet, before a member's heartbeat is answered: every
/// record of an assigned partition that comes after the answer is delivered.</summary>
internal static class ShareStarts
{
    // A heartbeat must be answered before the member's session ends.
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
        var starts = await FindAsync(context, request.GroupId, first.Unstarted).ConfigureAwait(false);
        if (starts.Count == 0)
            return first;
        var second = await groups.ShareGroupHeartbeatAsync(request with
        {
            MemberEpoch = first.MemberEpoch,
            SubscribedTopicNames = null,
            Starts = starts,
        }, context.Aborted).ConfigureAwait(false);
        // The first one is in force, whatever became of the second.
        return second.Error == ErrorCode.None ? second with { Assignment = second.Assignment ?? first.Assignment } : first;
    }

    /// <summary>Returns the time of the first record, in milliseconds since 1970.</summary>
    /// <param name="now">The time.</param>
    /// <param name="age">The age of the first record; it may be longer ago than any calendar.</param>
    public static long SinceOf(DateTimeOffset now, TimeSpan age) =>
        Math.Max(now.ToUnixTimeMilliseconds() - (long)age.TotalMilliseconds, 0);

    private static async Task<IReadOnlyList<ShareCursorMove>> FindAsync(RequestContext context, string groupId,
        IReadOnlyList<TopicPartitions> unstarted)
    {
        var found = await context.Broker.Groups.SendAsync(new FindShareCursors(groupId), context.Aborted).ConfigureAwait(false);
        if (found.Error != ErrorCode.None)
            return [];
        var spec = SpecOf(ShareGroupConfig.Of(found.Configs), context.Services.Options.TimeProvider.GetUtcNow());
        var image = context.Services.Metadata.Image;
        var partitions = (from topic in unstarted
                          let served = image.Topics.GetValueOrDefault(topic.TopicId)
                          where served is not null
                          from partition in topic.Partitions
                          select (topic.TopicId, Name: new TopicPartition(served.Name, partition))).ToArray();
        // Those that do not answer would take the time of the same ones with each heartbeat.
        Random.Shared.Shuffle(partitions);
        var starts = new ConcurrentBag<ShareCursorMove>();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(context.Aborted);
        patience.CancelAfter(Patience);
        try
        {
            await Parallel.ForEachAsync(partitions,
                new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = patience.Token }, async (partition, ended) =>
                {
                    if (await FindAsync(context.Broker, partition.Name, spec, ended).ConfigureAwait(false) is { } offset)
                        starts.Add(new ShareCursorMove(partition.TopicId, partition.Name.Partition, offset));
                }).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!context.Aborted.IsCancellationRequested)
        {
            // What was found until now is told.
        }
        return [.. starts];
    }

    private static OffsetSpec SpecOf(ShareGroupConfig config, DateTimeOffset now) => config.Start switch
    {
        ShareStart.Earliest => OffsetSpec.Earliest,
        ShareStart.ByDuration => new OffsetSpec(SinceOf(now, config.StartAge)),
        _ => OffsetSpec.Latest,
    };

    private static async Task<long?> FindAsync(IBroker broker, TopicPartition partition, OffsetSpec spec,
        CancellationToken cancellationToken)
    {
        var found = await broker.FindOffsetAsync(partition, spec, cancellationToken).ConfigureAwait(false);
        // No record is young enough: the next one is.
        if (found is { Error: ErrorCode.None, Offset: < 0 })
            found = await broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken).ConfigureAwait(false);
        return found.Error == ErrorCode.None ? found.Offset : null;
    }
}
