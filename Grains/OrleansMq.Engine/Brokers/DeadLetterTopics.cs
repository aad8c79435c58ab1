using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>The topics that dead letters go to: whether they exist, and whether they keep records as safely as the topics that the letters
/// come from. Thread safe.</summary>
internal sealed class DeadLetterTopics(Func<IBroker> broker, EngineLog log, TimeProvider time)
{
    private static readonly string[] Compared =
        ["cleanup.policy", "flush.messages", "flush.ms", "max.message.bytes", "min.insync.replicas"];
    private static readonly TimeSpan CheckInterval = TimeSpan.FromMinutes(5);

    // How long a topic whose name is not known is absent from every list before it is taken for deleted: lists may be behind.
    private static readonly TimeSpan Confirmation = TimeSpan.FromMinutes(1);

    // How long the letters of a deleted topic wait for one of its name, which may be created for the queue.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    // How long letters wait for a target that is given its replicas: brokers that are away may not come.
    private static readonly TimeSpan GrowthPatience = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan ShortCheckInterval = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<Guid, string> _names = new();
    private readonly ConcurrentDictionary<Guid, long> _absentSince = new();
    private readonly ConcurrentDictionary<Guid, long> _goneSince = new();
    private readonly ConcurrentDictionary<(string Source, string Target), (long At, TimeSpan Pause)> _checked = new();
    private readonly ConcurrentDictionary<(string Source, string Target), (long Since, long CheckedAt, string Why)> _growing = new();

    /// <inheritdoc cref="IDeadLetterPort.FindTargetAsync"/>
    public async Task<DeadLetterTarget> FindForAsync(TopicPartition source, string topic, DeadLetterTarget? current,
        CancellationToken cancellationToken)
    {
        if (topic == source.Topic)
            throw Refused(topic, "is the topic that the records come from: a rejected one would come back for ever");
        TopicDescription target;
        try
        {
            target = await broker().DescribeTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException missing) when (missing.Code is ErrorCode.UnknownTopicOrPartition or ErrorCode.InvalidTopic)
        {
            throw Refused(topic, "does not exist: create it first, or name another one or none");
        }
        if (current is { } kept && kept.TopicId == target.TopicId)
            return kept;
        var from = await broker().DescribeTopicAsync(source.Topic, cancellationToken).ConfigureAwait(false);
        if (WhyRefused(from, target) is { } refused)
            throw Refused(topic, refused);
        return new DeadLetterTarget(target.TopicId, source.Partition % target.Partitions.Count);
    }

    /// <summary>Finds a topic by its id.</summary>
    /// <param name="topicId">The id.</param>
    /// <param name="name">The name that it had; null if that is not known.</param>
    /// <param name="cancellationToken">Ends the search.</param>
    /// <returns>Its name; without one, whether it was deleted, or just is not found.</returns>
    public async Task<(string? Name, bool IsGone)> FindAsync(Guid topicId, string? name, CancellationToken cancellationToken)
    {
        if ((_names.GetValueOrDefault(topicId) ?? name) is { } known
            && (await TryGetAsync(known, cancellationToken).ConfigureAwait(false))?.TopicId == topicId)
            return Found(topicId, known);
        var listed = await broker().ListTopicsAsync(cancellationToken).ConfigureAwait(false);
        if (listed.FirstOrDefault(topic => topic.TopicId == topicId) is { } found)
            return Found(topicId, found.Name);
        if (name is not null)
            return await IsGoneAsync(topicId, name, cancellationToken).ConfigureAwait(false) ? (null, true) : Found(topicId, name);
        var since = _absentSince.GetOrAdd(topicId, time.GetTimestamp());
        return (null, time.GetElapsedTime(since) >= Confirmation);
    }

    /// <summary>Finds where the letters of a deleted topic go: to the topic that has the name now that their queue is configured with.
    /// Where none has it, it is waited for.</summary>
    /// <param name="source">The cursor that they come from.</param>
    /// <param name="gone">The deleted topic.</param>
    /// <param name="cancellationToken">Ends the search.</param>
    /// <returns>Null: there is none.</returns>
    /// <exception cref="BrokerException">It is waited for.</exception>
    public async Task<(string Name, DeadLetterTarget Target)?> FindSuccessorAsync(DeadLetterSource source, Guid gone,
        CancellationToken cancellationToken)
    {
        var name = source.ConfiguredTopic;
        if (name is null || name == source.Partition.Topic)
            return null;
        if (await TryGetAsync(name, cancellationToken).ConfigureAwait(false) is { } found && found.TopicId != gone)
            return (name, new DeadLetterTarget(found.TopicId, source.Partition.Partition % found.Partitions));
        if (time.GetElapsedTime(_goneSince.GetOrAdd(gone, time.GetTimestamp())) >= Patience)
            return null;
        throw new BrokerException(ErrorCode.UnknownTopicOrPartition, $"Dead-letter topic '{name}' was deleted. Create one of that name, or "
            + $"name another one for the queue: otherwise its letters are dropped after {Patience.TotalMinutes} minute.");
    }

    /// <summary>Whether the topic that had this name was deleted. The topic's own document tells.</summary>
    public async Task<bool> IsGoneAsync(Guid topicId, string name, CancellationToken cancellationToken) =>
        await broker().FindByIdAsync(name, topicId, cancellationToken).ConfigureAwait(false) is null;

    /// <summary>Has letters wait for a target that is still given its replicas, for some minutes, and warns where one keeps records less
    /// safely than a source for longer: its configuration was changed later, or brokers are missing.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotEnoughReplicas"/>: it is waited for.</exception>
    public async Task CheckAsync(string source, string target, CancellationToken cancellationToken)
    {
        var (now, key) = (time.GetTimestamp(), (source, target));
        if (_checked.TryGetValue(key, out var last) && time.GetElapsedTime(last.At, now) < last.Pause)
            return;
        if (_growing.TryGetValue(key, out var growing) && time.GetElapsedTime(growing.CheckedAt, now) < ShortCheckInterval)
            throw new BrokerException(ErrorCode.NotEnoughReplicas, growing.Why);
        TopicDescription from, to;
        try
        {
            from = await broker().DescribeTopicAsync(source, cancellationToken).ConfigureAwait(false);
            to = await broker().DescribeTopicAsync(target, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException)
        {
            // A later check tells. Letters that could be sent do not wait for descriptions that fail, each for its time.
            _checked[key] = (now, ShortCheckInterval);
            return;
        }
        var weaker = WhyWeaker(ConfigOf(from), ConfigOf(to));
        if (weaker is not null && WhyRefused(from, to) is null)
        {
            var why = $"Dead letters of topic '{source}' wait some minutes until their topic '{target}' has the "
                + $"{to.IntendedReplicationFactor} replicas that it is to have. If brokers are missing for good, set its "
                + "min.insync.replicas.";
            growing = _growing.AddOrUpdate(key, (now, now, why), (_, before) => (before.Since, now, why));
            if (time.GetElapsedTime(growing.Since, now) < GrowthPatience)
                throw new BrokerException(ErrorCode.NotEnoughReplicas, why);
        }
        _checked[key] = (now, CheckInterval);
        if (weaker is null)
            _growing.TryRemove(key, out _);
        else
            log.Write(EngineLogLevel.Warning, $"Dead letters of topic '{source}' may be lost: their topic '{target}' {weaker}.");
    }

    /// <summary>Returns why a topic is refused as a target; null if it is not. One that is still given its replicas is judged by what it is
    /// to have: letters wait until then. Pure.</summary>
    internal static string? WhyRefused(TopicDescription source, TopicDescription target)
    {
        var needed = ConfigOf(target).MinInsyncReplicas;
        return WhyWeaker(ConfigOf(source), IsSet(source) ? ConfigOf(target) : GrownConfigOf(target)) is { } weaker ? weaker
            : target.Partitions.Any(IsTooFew)
                ? $"has fewer replicas than its min.insync.replicas, {needed}: it takes no letter" : null;

        bool IsTooFew(PartitionDescription partition) => partition.Replicas.Count > 0
            && Math.Max(partition.Replicas.Count, target.IntendedReplicationFactor ?? 0) < needed;
    }

    /// <summary>Returns why dead letters would be less safe than their records; null if they are not. Pure.</summary>
    internal static string? WhyWeaker(TopicConfig source, TopicConfig target)
    {
        if (target.CleanupCompact)
            return "is compacted: letters without key are refused, and of those with a key the last one stays. Set cleanup.policy=delete";
        if (target.FlushPolicy < source.FlushPolicy)
            return $"is flushed with policy {target.FlushPolicy}, and the queue's topic with {source.FlushPolicy}. Set flush.messages and "
                + "flush.ms as there";
        if (target.MinInsyncReplicas < source.MinInsyncReplicas)
            return $"has min.insync.replicas {target.MinInsyncReplicas}, and the queue's topic {source.MinInsyncReplicas}. Raise it";
        return target.MaxMessageBytes < source.MaxMessageBytes
            ? $"has max.message.bytes {target.MaxMessageBytes}, and the queue's topic {source.MaxMessageBytes}. Raise it" : null;
    }

    private async Task<TopicListing?> TryGetAsync(string name, CancellationToken cancellationToken)
    {
        try
        {
            return await broker().GetTopicAsync(name, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException missing) when (missing.Code == ErrorCode.UnknownTopicOrPartition)
        {
            return null;
        }
    }

    private (string, bool) Found(Guid topicId, string name)
    {
        _names[topicId] = name;
        _absentSince.TryRemove(topicId, out _);
        return (name, false);
    }

    private static TopicConfig ConfigOf(TopicDescription topic) => TopicConfigRules.Parse(topic.Configs.Where(config =>
        Compared.Contains(config.Name)).ToDictionary(config => config.Name, config => config.Value), TopicConfig.Default).Next;

    // What was not set explicitly is raised with the replication factor.
    private static TopicConfig GrownConfigOf(TopicDescription topic) => topic.IntendedReplicationFactor is { } intended && !IsSet(topic)
        ? ConfigOf(topic).ForReplicas(intended) : ConfigOf(topic);

    private static bool IsSet(TopicDescription topic) =>
        topic.Configs.Any(static config => config is { Name: "min.insync.replicas", IsDefault: false });

    private static BrokerException Refused(string topic, string why) =>
        new(ErrorCode.InvalidRequest, $"Dead-letter topic '{topic}' {why}.");
}
