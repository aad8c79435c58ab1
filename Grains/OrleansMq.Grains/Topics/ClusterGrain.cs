using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// The catalogue. <see cref="TopicCatalogue"/> decides its changes and draws the order of writes. All calls interleave; changes of one
/// topic take turns (<see cref="TopicChanges"/>). In a replicated cluster this grain also maintains the metadata of all brokers
/// (<see cref="ClusterController"/>), so it never idles out.
/// </summary>
[GrainType(TypeName)]
[KeepAlive]
internal sealed partial class ClusterGrain : Grain, IClusterGrain, IClusterOwnerGrain, IIncomingGrainCallFilter
{
    /// <summary>The grain's type: the first half of its id, and of the ids under which the catalogue's pages are stored.</summary>
    public const string TypeName = "omq.cluster";

    // Topics asked concurrently for a listing.
    private const int TopicsAtATime = 64;

    private readonly SiloBroker _broker;
    private readonly GrainDoor _door;
    private readonly IServiceProvider _services;
    private readonly IGrainStorage _storage;
    private readonly Catalogue _catalogue;
    private readonly GrainDocument<ProducerIdState> _producerIds;
    private readonly SemaphoreSlim _takingBlock = new(1, 1);
    // The rest of the last allocated block of producer ids: from _nextProducerId to before _endOfBlock.
    private long _nextProducerId;
    private long _endOfBlock;

    public ClusterGrain(IGrainContext context, SiloBroker broker, GrainDoor door, IServiceProvider services,
        [FromKeyedServices(FileGrainStorage.ProviderName)] IGrainStorage storage)
    {
        _broker = broker;
        _door = door;
        _services = services;
        _storage = storage;
        _catalogue = new Catalogue(Catalogued<TopicCatalogue>, Catalogued<WholeCatalogue>(WholeCatalogue.Name));
        _producerIds = new GrainDocument<ProducerIdState>(storage, "producer-ids", context.GrainId);

        GrainDocument<T> Catalogued<T>(string name) where T : class =>
            new(storage, TopicCatalogue.StoreType, GrainId.Create(context.GrainId.Type, name));
    }

    // A grain under another key would have a catalogue of its own, whose topics no broker serves.
    private bool IsTheCluster => this.GetPrimaryKeyString() == GrainKeys.Cluster;

    /// <inheritdoc/>
    public Task Invoke(IIncomingGrainCallContext context)
    {
        if (IsTheCluster)
            return _door.InvokeAsync(context);
        DeactivateOnIdle();
        throw new BrokerException(ErrorCode.InvalidRequest, $"There is no cluster grain '{this.GetPrimaryKeyString()}', only "
            + $"'{GrainKeys.Cluster}'. Get it with grains.GetCluster().");
    }

    /// <inheritdoc/>
    public async Task<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken)
    {
        using var _ = await BeginAsync(topic.Name);
        cancellationToken.ThrowIfCancellationRequested();
        await FinishInterruptedAsync(topic.Name);
        var newId = Guid.CreateVersion7(_broker.Options.TimeProvider.GetUtcNow());
        TopicCreation? creation = null;
        await ChangeAsync(topic.Name, page => (creation = page.BeginCreate(topic, newId, Limits()).Next).Catalogue);
        var topicId = creation!.Topic.TopicId;
        TopicDescription created;
        try
        {
            created = await Owner(topic.Name).CreateAsync(SpecOf(creation.Topic));
        }
        catch (BrokerException failure) when (failure.Code is ErrorCode.KafkaStorageError or ErrorCode.InvalidReplicationFactor)
        {
            await UndoAsync(topic.Name, topicId, failure);
            throw new BrokerException(failure.Code, $"Topic '{topic.Name}' was not created: {failure.Message}", failure);
        }
        catch (BrokerException lost) when (lost.Code == ErrorCode.LeaderNotAvailable)
        {
            // The later controller completes the creation, or undoes it.
            throw new BrokerException(ErrorCode.RequestTimedOut, lost.Message, lost);
        }
        // The topic is served from here on, so nothing undoes its creation. Housekeeping, or the next call, completes the page.
        try
        {
            await ChangeAsync(topic.Name, page => page.FinishCreate(topic.Name, topicId));
        }
        catch (BrokerException lost) when (lost.Code == ErrorCode.LeaderNotAvailable)
        {
            // The later controller does.
        }
        return created;
    }

    /// <inheritdoc/>
    public Task DeleteTopicAsync(string topic, CancellationToken cancellationToken) =>
        DeleteInTurnAsync(topic, topicId: null, cancellationToken);

    /// <inheritdoc/>
    public Task DeleteTopicByIdAsync(string topic, Guid topicId, CancellationToken cancellationToken) =>
        DeleteInTurnAsync(topic, topicId, cancellationToken);

    private async Task DeleteInTurnAsync(string topic, Guid? topicId, CancellationToken cancellationToken)
    {
        using var _ = await BeginAsync(topic);
        cancellationToken.ThrowIfCancellationRequested();
        await DeleteAsync(topic, topicId);
    }

    private async Task DeleteAsync(string topic, Guid? topicId = null)
    {
        TopicCatalogue? deleting = null;
        await DeleteAsync(topic, async () =>
        {
            await ChangeAsync(topic, page => deleting = page.BeginDelete(topic, topicId).Next);
            return deleting!.Topics[topic].TopicId;
        });
    }

    // Begins with the page, and returns what was begun; null for nothing to do.
    private async Task DeleteAsync(string topic, Func<Task<Guid?>> beginAsync)
    {
        var hasBegun = false;
        try
        {
            if (await beginAsync() is not { } topicId)
                return;
            hasBegun = true;
            _controller?.Forget(topicId);
            await Owner(topic).DeleteAsync(topicId);
            await ChangeAsync(topic, page => Leave(page.Forget(topic, topicId), topicId));
            _toUndo.Remove(topicId);
            _broker.Forget(topic);
            await GoneAsync(topicId);
        }
        catch (BrokerException failure) when (failure.Code == ErrorCode.KafkaStorageError)
        {
            throw new BrokerException(failure.Code,
                $"Topic '{topic}' was not deleted completely; delete it again: {failure.Message}", failure);
        }
        catch (BrokerException lost) when (lost.Code == ErrorCode.LeaderNotAvailable && hasBegun)
        {
            throw new BrokerException(ErrorCode.RequestTimedOut, lost.Message, lost);
        }
    }

    /// <inheritdoc/>
    public async Task<TopicListing[]> ListTopicsAsync(CancellationToken cancellationToken)
    {
        if (_controller?.Image is { } image)
            return [.. image.Names.Values.Select(id => image.Topics[id]).Where(topic => topic.Status == TopicStatus.Active)
                .Select(topic => topic.ToListing())];
        var listings = new List<TopicListing>();
        var names = (await _catalogue.ReadAllAsync()).SelectMany(page => page.Topics)
            .Where(topic => topic.Value.Status == TopicStatus.Active).Select(topic => topic.Key).Order(StringComparer.Ordinal);
        foreach (var some in names.Chunk(TopicsAtATime))
        {
            cancellationToken.ThrowIfCancellationRequested();
            var found = await Task.WhenAll(some.Select(name => GrainFactory.GetGrain<ITopicGrain>(name).FindAsync(cancellationToken)));
            listings.AddRange(found.OfType<TopicListing>());
        }
        return [.. listings];
    }

    /// <inheritdoc/>
    public async Task<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken)
    {
        while (_nextProducerId >= _endOfBlock)
            await TakeBlockAsync();
        return new ProducerIdentity(_nextProducerId++, 0);
    }

    /// <inheritdoc/>
    public Task<ClusterDescription> DescribeAsync(CancellationToken cancellationToken) =>
        Task.FromResult(_controller is null ? _broker.DescribeCluster() : DescribeReplicated());

    // What an earlier change left half done belongs to no change under way: this one has the topic's turn. A failed creation must not
    // resurface, and the name must not stay taken.
    private async Task FinishInterruptedAsync(string topic)
    {
        if (!(await _catalogue.ReadAsync(topic)).Topics.TryGetValue(topic, out var entry))
            return;
        if (_toUndo.Contains(entry.TopicId))
            await RemoveRemainsAsync(topic, entry.TopicId);
        else if (entry.Status == TopicStatus.Deleting)
            await DeleteAsync(topic);
        else if (entry.Status == TopicStatus.Creating)
            await FinishAsync(topic, entry.TopicId);
    }

    // The topic could not be created: remove what exists of it. What cannot be removed now, housekeeping, the next creation under its name,
    // or the next start removes.
    private async Task UndoAsync(string topic, Guid topicId, BrokerException cause)
    {
        _broker.Log(EngineLogLevel.Warning, $"Could not create topic '{topic}'; removing what exists of it.", cause);
        _toUndo.Add(topicId);
        try
        {
            await RemoveRemainsAsync(topic, topicId);
        }
        catch (BrokerException exception)
        {
            _broker.Log(EngineLogLevel.Warning,
                $"Could not remove the remains of topic '{topic}'. That is tried again when a topic of that name is created or deleted.",
                exception);
        }
    }

    // Another controller may have completed the creation, and the topic may have records by now: only what is on the page decides.
    private Task RemoveRemainsAsync(string topic, Guid topicId) => DeleteAsync(topic, async () =>
    {
        TopicCatalogue? undoing = null;
        await ChangeAsync(topic, page => (undoing = page.BeginUndo(topic, topicId)) ?? page);
        if (undoing is not null)
            return topicId;
        _toUndo.Remove(topicId);
        return null;
    });

    private static TopicSpec SpecOf(TopicState topic) => new()
    {
        TopicId = topic.TopicId,
        Partitions = topic.Partitions,
        Configs = new Dictionary<string, string>(topic.Configs),
        ReplicationFactor = topic.ReplicationFactor,
        IntendedReplicationFactor = topic.IntendedReplicationFactor,
    };

    private async Task TakeBlockAsync()
    {
        await _takingBlock.WaitAsync();
        try
        {
            if (_nextProducerId < _endOfBlock)
                return; // Another call has allocated a block meanwhile.
            var (next, first) = ProducerIdState.Above(await _producerIds.ReadAsync(), _broker.Partitions.HighestProducerId).TakeBlock();
            await _producerIds.WriteAsync(next);
            (_nextProducerId, _endOfBlock) = (first, next.NextProducerId);
        }
        finally
        {
            _takingBlock.Release();
        }
    }

    private ITopicOwnerGrain Owner(string topic) => GrainFactory.GetGrain<ITopicOwnerGrain>(topic);
}
