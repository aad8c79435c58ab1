using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Shows dead letters over a broker. See <see cref="IDeadLetterAdmin"/>.</summary>
/// <param name="broker">The broker.</param>
/// <param name="scan">Reads the records; null for the usual one.</param>
internal sealed class DeadLetterAdmin(IBroker broker, LetterScan? scan = null) : IDeadLetterAdmin
{
    /// <summary>The most records that one call reads.</summary>
    public const int MostRead = 1_000_000;
    /// <summary>The most bytes that one call reads: 16 GiB.</summary>
    public const long MostReadBytes = 16L << 30;
    /// <summary>The most dead letters that one call returns.</summary>
    public const int MostLetters = 10_000;

    private readonly LetterScan _scan = scan ?? new LetterScan(broker);

    public async Task<IReadOnlyList<DeadLetterTopic>> ListAsync(int maxRead, long maxReadBytes, CancellationToken cancellationToken)
    {
        Require(maxRead, MostRead, nameof(maxRead));
        Require(maxReadBytes, MostReadBytes, nameof(maxReadBytes));
        var topics = (await broker.ListTopicsAsync(cancellationToken).ConfigureAwait(false))
            .Where(static topic => topic.Name.EndsWith(DeadLetters.TopicSuffix, StringComparison.Ordinal));
        var extents = await _scan.MeasureAsync(topics, maxRead, cancellationToken).ConfigureAwait(false);
        var (room, budget) = (new TextRoom(), new ByteBudget(maxReadBytes, extents.Count));
        var summaries = new List<DeadLetterTopic>();
        foreach (var topic in extents.GroupBy(static extent => extent.Partition.Topic).OrderBy(static topic => topic.Key,
            StringComparer.Ordinal))
        {
            LetterScan.Extent[] partitions = [.. topic];
            if (partitions.All(static extent => extent.First == extent.End))
                continue;
            try
            {
                summaries.Add(await SummarizeAsync(topic.Key, partitions, room, budget, cancellationToken).ConfigureAwait(false));
            }
            catch (BrokerException e) when (e.Code is ErrorCode.TopicAuthorizationFailed or ErrorCode.UnknownTopicOrPartition)
            {
                // One may see the topic, and not read it; or it was deleted meanwhile.
            }
        }
        return summaries;
    }

    public async Task<DeadLetterTopic> DescribeAsync(string deadLetterTopic, int maxRead, long maxReadBytes,
        CancellationToken cancellationToken)
    {
        Require(maxRead, MostRead, nameof(maxRead));
        Require(maxReadBytes, MostReadBytes, nameof(maxReadBytes));
        var topic = await broker.GetTopicAsync(deadLetterTopic, cancellationToken).ConfigureAwait(false);
        var extents = await _scan.MeasureAsync([topic], maxRead, cancellationToken).ConfigureAwait(false);
        return extents.Count > 0
            ? await SummarizeAsync(deadLetterTopic, extents, new TextRoom(), new ByteBudget(maxReadBytes, extents.Count),
                cancellationToken).ConfigureAwait(false)
            : throw new BrokerException(ErrorCode.UnknownTopicOrPartition, $"Topic '{deadLetterTopic}' was deleted meanwhile.");
    }

    public async Task<DeadLetterPage> ReadAsync(string deadLetterTopic, DeadLetterQuery? query, CancellationToken cancellationToken)
    {
        query ??= new DeadLetterQuery();
        Require(query.MaxRead, MostRead, nameof(query.MaxRead));
        Require(query.MaxReadBytes, MostReadBytes, nameof(query.MaxReadBytes));
        Require(query.MaxLetters, MostLetters, nameof(query.MaxLetters));
        var topic = await broker.GetTopicAsync(deadLetterTopic, cancellationToken).ConfigureAwait(false);
        var extents = await _scan.MeasureAsync([topic], query.MaxRead, cancellationToken).ConfigureAwait(false);
        var redriven = await RedrivenAsync(deadLetterTopic, extents, cancellationToken).ConfigureAwait(false);
        var page = new LetterPage(query);
        var budget = new ByteBudget(query.MaxReadBytes, extents.Count);
        var isComplete = await _scan.ReadAsync(extents, budget, (partition, record) =>
            page.Add(record.Describe(partition, redriven.Passed(partition, record.Offset))), cancellationToken).ConfigureAwait(false);
        return page.Finish(extents, isComplete);
    }

    private async Task<DeadLetterTopic> SummarizeAsync(string topic, IReadOnlyList<LetterScan.Extent> extents, TextRoom room,
        ByteBudget budget, CancellationToken cancellationToken)
    {
        var redriven = await RedrivenAsync(topic, extents, cancellationToken).ConfigureAwait(false);
        var tally = new SourceTally(room);
        var isComplete = await _scan.ReadAsync(extents, budget, (partition, record) =>
            tally.Add(record.Describe(partition, redriven.Passed(partition, record.Offset))), cancellationToken).ConfigureAwait(false);
        return tally.Summarize(topic, extents, isComplete);
    }

    private async Task<RedriveProgress> RedrivenAsync(string topic, IEnumerable<LetterScan.Extent> extents,
        CancellationToken cancellationToken)
    {
        TopicPartition[] partitions = [.. extents.Select(static extent => extent.Partition)];
        var fetched = await broker.Groups.FetchOffsetsAsync(
            new OffsetFetch { GroupId = topic + Redrive.GroupSuffix, Partitions = partitions }, cancellationToken).ConfigureAwait(false);
        return fetched.Error switch
        {
            ErrorCode.None => new RedriveProgress(fetched.Partitions.Where(static partition => partition.Offset is not null)
                .ToDictionary(static partition => partition.Partition, static partition => partition.Offset!.Offset)),
            // One may read the topic, and not the group; or a group of another kind has that name.
            ErrorCode.GroupAuthorizationFailed or ErrorCode.GroupIdNotFound => new RedriveProgress(null),
            var error => throw new BrokerException(error, fetched.Message ?? $"{error}"),
        };
    }

    private static void Require(long value, long most, string name)
    {
        if (value < 1 || value > most)
            throw new ArgumentOutOfRangeException(name, value, $"{name} is from 1 to {most}.");
    }

    /// <summary>How far redrives got; null if that may not be read.</summary>
    private readonly record struct RedriveProgress(Dictionary<TopicPartition, long>? Committed)
    {
        public bool? Passed(TopicPartition partition, long offset) =>
            Committed is null ? null : offset < Committed.GetValueOrDefault(partition);
    }
}
