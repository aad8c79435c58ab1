using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Groups.Share;

namespace OrleansMq.Gateways.Kafka.Shares;

/// <summary>Finds where a share group begins in the topics that it does not read yet, before a member's join is answered: every record
/// that comes after the answer is delivered.</summary>
internal static class ShareStarts
{
    // A heartbeat must be answered before the member's session ends.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>Returns the first record of each partition that has no cursor yet; none where the group begins at the first record. A
    /// partition without leader refuses the join: what is appended before the first fetch would be skipped.</summary>
    public static async ValueTask<FoundStarts> FindAsync(RequestContext context, ShareGroupHeartbeat request)
    {
        if (request.SubscribedTopicNames is not { Count: > 0 } names || request.MemberEpoch < 0)
            return FoundStarts.None;
        var image = context.Services.Metadata.Image;
        var topics = names.Distinct(StringComparer.Ordinal).Select(image.FindServed).OfType<ImageTopic>().ToArray();
        if (topics.Length == 0)
            return FoundStarts.None;
        var found = await context.Broker.Groups.SendAsync(new FindShareCursors(request.GroupId), context.Aborted).ConfigureAwait(false);
        if (found.Error != ErrorCode.None)
            return new FoundStarts([]) { Refusal = ShareGroupHeartbeatResult.Failed(found.Error, found.Message ?? "") };
        var config = ShareGroupConfig.Of(found.Configs);
        if (config.Start == ShareStart.Earliest)
            return FoundStarts.None;
        var spec = config.Start == ShareStart.ByDuration
            ? new OffsetSpec(SinceOf(context.Services.Options.TimeProvider.GetUtcNow(), config.StartAge)) : OffsetSpec.Latest;
        var starts = await Task.WhenAll(from topic in topics
                                        let cursors = found.Topics.FirstOrDefault(cursors => cursors.TopicId == topic.TopicId)
                                        from partition in Enumerable.Range(0, Math.Min(topic.Serving, cursors?.Partitions ?? topic.Serving))
                                        where cursors?.FindReset(partition) is null
                                        select FindAsync(context, topic, partition, spec)).ConfigureAwait(false);
        return Array.TrueForAll(starts, static start => start is not null) ? new FoundStarts([.. starts.OfType<ShareCursorMove>()])
            : new FoundStarts([])
            {
                Refusal = ShareGroupHeartbeatResult.Failed(ErrorCode.CoordinatorLoadInProgress,
                    "A partition of the topics has no leader at the moment, so where the group begins is not known. Retry."),
            };
    }

    /// <summary>Returns the time of the first record, in milliseconds since 1970.</summary>
    /// <param name="now">The time.</param>
    /// <param name="age">The age of the first record; it may be longer ago than any calendar.</param>
    public static long SinceOf(DateTimeOffset now, TimeSpan age) =>
        Math.Max(now.ToUnixTimeMilliseconds() - (long)age.TotalMilliseconds, 0);

    private static async Task<ShareCursorMove?> FindAsync(RequestContext context, ImageTopic topic, int partition, OffsetSpec spec)
    {
        var name = new TopicPartition(topic.Name, partition);
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(context.Aborted);
        patience.CancelAfter(Patience);
        try
        {
            var found = await context.Broker.FindOffsetAsync(name, spec, patience.Token).ConfigureAwait(false);
            // No record is young enough: the next one is.
            if (found is { Error: ErrorCode.None, Offset: < 0 })
                found = await context.Broker.FindOffsetAsync(name, OffsetSpec.Latest, patience.Token).ConfigureAwait(false);
            return found.Error == ErrorCode.None ? new ShareCursorMove(topic.TopicId, partition, found.Offset) : null;
        }
        catch (OperationCanceledException) when (!context.Aborted.IsCancellationRequested)
        {
            return null;
        }
    }
}

/// <summary>Where a group begins, or why a member may not join now.</summary>
/// <param name="Starts">The first record of each partition.</param>
internal sealed record FoundStarts(IReadOnlyList<ShareCursorMove> Starts)
{
    public static FoundStarts None { get; } = new([]);

    public ShareGroupHeartbeatResult? Refusal { get; init; }
}
