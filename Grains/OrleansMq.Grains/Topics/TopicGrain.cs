using System.Collections.Immutable;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// One topic: its document, and the order in which document and partitions change. <see cref="TopicState"/> decides each change. Changes
/// run one at a time; lookups and descriptions interleave and see only stored versions.
/// </summary>
[GrainType(TypeName)]
internal sealed partial class TopicGrain : Grain, ITopicGrain, ITopicOwnerGrain, IIncomingGrainCallFilter
{
    /// <summary>The grain's type: the first half of its id.</summary>
    public const string TypeName = "omq.topic";

    /// <summary>The type of its document: the first half of the document's key.</summary>
    public const string DocumentType = "topic";

    /// <summary>How long the activation of a name without a topic stays: long enough for those that ask together.</summary>
    public static readonly TimeSpan LeaveAfter = TimeSpan.FromSeconds(1);

    // Partitions opened, configured, described or dropped concurrently: enough to overlap their disk access, few enough to leave room for
    // others.
    private const int PartitionsAtATime = 64;

    private readonly SiloBroker _broker;
    private readonly GrainDoor _door;
    private readonly IGrainStorage _storage;
    private readonly GrainDocument<TopicState> _topic;
    // Set when deletion begins: the topic is no longer served, although its document still exists.
    private bool _deleting;
    private IGrainTimer? _leaving;

    public TopicGrain(IGrainContext context, SiloBroker broker, GrainDoor door, IServiceProvider services,
        [FromKeyedServices(FileGrainStorage.ProviderName)] IGrainStorage storage)
    {
        _broker = broker;
        _door = door;
        _storage = storage;
        _images = services.GetService<ClusterImageCache>();
        _states = services.GetRequiredService<IPartitionStates>();
        _leaders = services.GetService<LeaderServiceClient>();
        _brokers = services.GetService<ReplicaServices>();
        _peers = services.GetRequiredService<IBrokerPeers>();
        _topic = new GrainDocument<TopicState>(storage, DocumentType, context.GrainId);
    }

    /// <inheritdoc/>
    public Task Invoke(IIncomingGrainCallContext context) => _door.InvokeAsync(context);

    private string Name => this.GetPrimaryKeyString();

    /// <inheritdoc/>
    public async Task<TopicListing?> FindAsync(CancellationToken cancellationToken)
    {
        if (await ServedAsync() is { } served)
            return served.ToListing();
        if (_topic.Known is null)
            LeaveSoon();
        return null;
    }

    // Invented names leave nothing behind. Not at once: many ask for a topic that one of them then creates, and an activation that ends
    // sends their calls on.
    private void LeaveSoon() => _leaving ??= this.RegisterGrainTimer(static (grain, _) =>
    {
        grain._leaving!.Dispose();
        grain._leaving = null;
        if (grain._topic.Known is null)
            grain.DeactivateOnIdle();
        return Task.CompletedTask;
    }, this, new GrainTimerCreationOptions(LeaveAfter, Timeout.InfiniteTimeSpan));

    /// <inheritdoc/>
    public async Task<TopicDescription> DescribeAsync(CancellationToken cancellationToken) => await DescribeAsync(await ExistingAsync());

    /// <inheritdoc/>
    /// <remarks>The partitions are configured even if nothing changed, so that a retry completes a change that failed half way.</remarks>
    public async Task<TopicDescription> AlterAsync(Dictionary<string, string?> configs, Guid? topicId, CancellationToken cancellationToken)
    {
        var existing = await ExistingAsync(topicId);
        cancellationToken.ThrowIfCancellationRequested();
        var defaults = _broker.Options.TopicDefaults.ForReplicas(existing.ReplicationFactor);
        // A cluster's brokers are all asked below, whichever this grain is on.
        var next = existing.Alter(configs, defaults, IsReplicated ? null : _broker.Options.Codecs).Next;
        if (IsReplicated && next.CodecOf(defaults) is { } codec && codec != existing.CodecOf(defaults))
            await RequireCodecAsync(codec);
        await _topic.WriteAsync(next);
        if (IsReplicated)
        {
            await AnnounceAsync(next, next.Partitions, []);
            return await DescribeAsync(next);
        }
        var set = new Dictionary<string, string>(next.Configs);
        await ForEachAsync(0, next.Partitions, partition => Owner(next.TopicId, partition).ConfigureAsync(set));
        _broker.Announce(next);
        return await DescribeAsync(next);
    }

    /// <inheritdoc/>
    public async Task<TopicDescription> AddPartitionsAsync(int totalCount, Guid? topicId, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var growing = (await ExistingAsync(topicId)).BeginAddPartitions(totalCount).Next;
        await _topic.WriteAsync(growing);
        return await DescribeAsync((await FinishAsync(growing)).Next);
    }

    /// <inheritdoc/>
    public async Task<TopicDescription> CreateAsync(TopicSpec spec)
    {
        await DemandCreationAsync(spec.TopicId);
        var creating = new TopicState
        {
            Name = Name,
            TopicId = spec.TopicId,
            Partitions = spec.Partitions,
            ReplicationFactor = spec.ReplicationFactor,
            IntendedReplicationFactor = spec.IntendedReplicationFactor,
            Configs = spec.Configs.ToImmutableSortedDictionary(StringComparer.Ordinal),
            Status = TopicStatus.Creating,
        };
        _deleting = false;
        await _topic.WriteAsync(creating);
        var (next, made) = await FinishAsync(creating);
        // Nothing has been written to new replicas, so that their leaders need not be asked.
        return IsReplicated ? next.Describe([.. made.Select(ClusterDescriptions.DescribeNew)], ConfigOf(next)) : await DescribeAsync(next);
    }

    /// <inheritdoc/>
    public async Task<bool> FinishAsync(Guid topicId)
    {
        if (await _topic.ReadAsync() is not { } topic || topic.TopicId != topicId)
            return false;
        if (topic.Status == TopicStatus.Creating || topic.GrowingTo is not null)
            await FinishAsync(topic);
        else if (IsReplicated)
            await AnnounceAsync(topic, topic.Partitions, []);
        return true;
    }

    /// <inheritdoc/>
    public async Task<bool> RaiseAsync(Guid topicId, short reached, int partitions)
    {
        // Partitions that were added since may have fewer replicas. They grow first.
        if (_deleting || await _topic.ReadAsync() is not { Status: TopicStatus.Active, GrowingTo: null } topic || topic.TopicId != topicId
            || topic.Partitions != partitions)
            return false;
        var raised = topic.Raise(reached);
        if (!ReferenceEquals(raised, topic))
            await _topic.WriteAsync(raised);
        await AnnounceAsync(raised, raised.Partitions, []);
        return true;
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(Guid topicId)
    {
        var topic = await _topic.ReadAsync();
        if (topic is not null && topic.TopicId != topicId)
            return;
        _deleting = true;
        _broker.SoleMetadata?.Remove(topicId);
        // Includes partitions beyond the document: those of a topic whose document was lost.
        var count = Math.Max(_broker.CountOf(topicId), topic is null ? 0 : Math.Max(topic.Partitions, topic.GrowingTo ?? 0));
        await (IsReplicated
            ? ClearStatesAsync(topicId, topic)
            : ForEachAsync(0, count, partition => Owner(topicId, partition).DropAsync(Name)));
        await _topic.DeleteAsync();
        DeactivateOnIdle();
    }

    // A stopping silo forwards the calls that it has. One that arrives late must not bring back a topic that was deleted or undone
    // meanwhile, nor replace the next one of its name. The controller stores on the page that the topic is being created before it calls,
    // and that it is being deleted before it has the topic deleted here.
    private async Task DemandCreationAsync(Guid topicId)
    {
        var stored = new GrainDocument<TopicCatalogue>(_storage, TopicCatalogue.StoreType,
            GrainId.Create(ClusterGrain.TypeName, TopicCatalogue.NameOf(TopicCatalogue.PageOf(Name))));
        if (await stored.ReadAsync() is not { } page || !page.IsCreating(Name, topicId))
            throw new BrokerException(ErrorCode.LeaderNotAvailable,
                $"Topic '{Name}' with the id {topicId} is not being created any more: it was completed, deleted or undone before this call "
                + "arrived.");
    }

    // Creates the partitions that the document announces, then stores that they exist.
    private async Task<(TopicState Next, ImagePartition[] Made)> FinishAsync(TopicState begun)
    {
        var (from, next) = begun.Status == TopicStatus.Creating ? (0, begun.Activate()) : (begun.Partitions, begun.FinishAddPartitions());
        if (!IsReplicated)
        {
            await OpenAsync(begun, from, next.Partitions);
            await _topic.WriteAsync(next);
            _broker.Announce(next);
            return (next, []);
        }
        var made = await MakeReplicasAsync(begun, from, next.Partitions);
        await _topic.WriteAsync(next);
        await AnnounceAsync(next, next.Partitions, []);
        return (next, made);
    }

    private Task OpenAsync(TopicState topic, int from, int to)
    {
        var spec = new PartitionSpec { Topic = topic.Name, Configs = new Dictionary<string, string>(topic.Configs) };
        return ForEachAsync(from, to, partition => Owner(topic.TopicId, partition).OpenAsync(spec));
    }

    private async Task<TopicDescription> DescribeAsync(TopicState topic)
    {
        var partitions = new PartitionDescription[topic.Partitions];
        await ForEachAsync(0, topic.Partitions, async partition => partitions[partition] = await DescribeAsync(topic, partition));
        return topic.Describe(partitions, ConfigOf(topic));
    }

    private async Task<PartitionDescription> DescribeAsync(TopicState topic, int partition)
    {
        if (IsReplicated)
            return await DescribeReplicatedAsync(topic, partition);
        try
        {
            return await GrainFactory.GetGrain<IPartitionForwardGrain>(GrainKeys.Partition(topic.TopicId, partition)).DescribeAsync();
        }
        catch (BrokerException exception) when (exception.Code is ErrorCode.UnknownTopicId or ErrorCode.KafkaStorageError)
        {
            return PartitionDescriptions.Missing(new TopicPartition(topic.Name, partition), _broker.Options.BrokerId, exception.Message);
        }
    }

    private static async Task ForEachAsync(int from, int to, Func<int, Task> action)
    {
        for (var start = from; start < to; start += PartitionsAtATime)
            await Task.WhenAll(Enumerable.Range(start, Math.Min(PartitionsAtATime, to - start)).Select(action));
    }

    private IPartitionOwnerGrain Owner(Guid topicId, int partition) =>
        GrainFactory.GetGrain<IPartitionOwnerGrain>(GrainKeys.Partition(topicId, partition));

    private async ValueTask<TopicState?> ServedAsync()
    {
        if (_broker.WhyDamaged(Name) is { } reason)
            throw new BrokerException(ErrorCode.KafkaStorageError, reason);
        return await _topic.ReadAsync() is { Status: TopicStatus.Active } topic && !_deleting ? topic : null;
    }

    // Of any id where none is named.
    private async ValueTask<TopicState> ExistingAsync(Guid? topicId = null)
    {
        var served = await ServedAsync()
            ?? throw new BrokerException(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.UnknownTopic(Name));
        return topicId is not { } id || id == served.TopicId ? served
            : throw new BrokerException(ErrorCode.UnknownTopicOrPartition, TopicCatalogue.OtherTopic(Name, id));
    }
}
