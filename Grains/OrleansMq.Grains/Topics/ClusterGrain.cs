using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// The catalogue. <see cref="TopicCatalogue"/> decides its changes and draws the order of writes. Topics are created and deleted one at a
/// time; everything else interleaves. In a replicated cluster this grain also maintains the metadata of all brokers
/// (<see cref="ClusterController"/>), so it never idles out.
/// </summary>
[GrainType("omq.cluster")]
[KeepAlive]
internal sealed partial class ClusterGrain : Grain, IClusterGrain, IClusterOwnerGrain, IIncomingGrainCallFilter
{
    // Topics asked concurrently for a listing.
    private const int TopicsAtATime = 64;

    private readonly SiloBroker _broker;
    private readonly GrainDoor _door;
    private readonly IServiceProvider _services;
    private readonly IGrainStorage _storage;
    private readonly GrainDocument<TopicCatalogue> _catalogue;
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
        _catalogue = new GrainDocument<TopicCatalogue>(storage, "catalogue", context.GrainId);
        _producerIds = new GrainDocument<ProducerIdState>(storage, "producer-ids", context.GrainId);
    }

    /// <inheritdoc/>
    public Task Invoke(IIncomingGrainCallContext context) => _door.InvokeAsync(context);

    /// <inheritdoc/>
    public async Task<TopicDescription> CreateTopicAsync(NewTopic topic)
    {
        using var _ = await BeginAsync();
        // A failed create must not resurface: complete its removal first.
        if (_toUndo.Contains(topic.Name))
        {
            await DeleteAsync(topic.Name);
            _toUndo.Remove(topic.Name);
        }
        var topicId = Guid.CreateVersion7(_broker.Options.TimeProvider.GetUtcNow());
        var creation = (await CatalogueAsync()).BeginCreate(topic, topicId, Limits()).Next;
        await ChangeAsync(_ => creation.Catalogue);
        try
        {
            var created = await Owner(topic.Name).CreateAsync(SpecOf(creation.Topic));
            await ChangeAsync(catalogue => catalogue.FinishCreate(topic.Name, topicId));
            return created;
        }
        catch (BrokerException failure) when (failure.Code is ErrorCode.KafkaStorageError or ErrorCode.InvalidReplicationFactor)
        {
            await UndoAsync(topic.Name, failure);
            throw new BrokerException(failure.Code, $"Topic '{topic.Name}' was not created: {failure.Message}", failure);
        }
    }

    /// <inheritdoc/>
    public async Task DeleteTopicAsync(string topic)
    {
        using var _ = await BeginAsync();
        await DeleteAsync(topic);
    }

    private async Task DeleteAsync(string topic)
    {
        var deleting = (await CatalogueAsync()).BeginDelete(topic).Next;
        var topicId = deleting.Topics[topic].TopicId;
        try
        {
            await ChangeAsync(_ => deleting);
            _controller?.Forget(topicId);
            await Owner(topic).DeleteAsync(topicId);
            await ChangeAsync(catalogue => Leave(catalogue.Forget(topic, topicId), topicId));
        }
        catch (BrokerException failure) when (failure.Code == ErrorCode.KafkaStorageError)
        {
            throw new BrokerException(failure.Code,
                $"Topic '{topic}' was not deleted completely; delete it again: {failure.Message}", failure);
        }
        _broker.Forget(topic);
        await GoneAsync(topicId);
    }

    /// <inheritdoc/>
    public async Task<TopicListing[]> ListTopicsAsync()
    {
        if (_controller?.Image is { } image)
            return [.. image.Names.Values.Select(id => image.Topics[id]).Where(topic => topic.Status == TopicStatus.Active)
                .Select(topic => topic.ToListing())];
        var listings = new List<TopicListing>();
        var names = (await CatalogueAsync()).Topics.Where(topic => topic.Value.Status == TopicStatus.Active).Select(topic => topic.Key);
        foreach (var some in names.Chunk(TopicsAtATime))
        {
            var found = await Task.WhenAll(some.Select(name => GrainFactory.GetGrain<ITopicGrain>(name).FindAsync()));
            listings.AddRange(found.OfType<TopicListing>());
        }
        return [.. listings];
    }

    /// <inheritdoc/>
    public async Task<ProducerIdentity> InitProducerIdAsync()
    {
        while (_nextProducerId >= _endOfBlock)
            await TakeBlockAsync();
        return new ProducerIdentity(_nextProducerId++, 0);
    }

    /// <inheritdoc/>
    public Task<ClusterDescription> DescribeAsync() =>
        Task.FromResult(_controller is null ? _broker.DescribeCluster() : DescribeReplicated());

    // The topic could not be created on disk: remove what exists of it. The next start removes what cannot be removed now.
    private async Task UndoAsync(string topic, BrokerException cause)
    {
        _broker.Log(EngineLogLevel.Warning, $"Could not create topic '{topic}'; removing what exists of it.", cause);
        _toUndo.Add(topic);
        try
        {
            await DeleteAsync(topic);
            _toUndo.Remove(topic);
        }
        catch (BrokerException exception)
        {
            _broker.Log(EngineLogLevel.Warning,
                $"Could not remove the remains of topic '{topic}'. Delete the topic, or restart the broker.", exception);
        }
    }

    private static TopicSpec SpecOf(TopicState topic) => new()
    {
        TopicId = topic.TopicId,
        Partitions = topic.Partitions,
        Configs = new Dictionary<string, string>(topic.Configs),
        ReplicationFactor = topic.ReplicationFactor,
    };

    private async ValueTask<TopicCatalogue> CatalogueAsync() => await _catalogue.ReadAsync() ?? TopicCatalogue.Empty;

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
