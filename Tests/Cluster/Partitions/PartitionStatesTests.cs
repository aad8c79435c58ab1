using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using Orleans.Serialization.Serializers;
using Orleans.Storage;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Storage;
using OrleansMq.Replication;
using OrleansMq.State;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>Partition states over grain storage.</summary>
public sealed class PartitionStatesTests : PartitionStatesConformance
{
    private static readonly IServiceProvider Serialization = new ServiceCollection().AddSerializer().BuildServiceProvider();

    private readonly FileStateStore _files = FileStateStore.Open(new MemoryFileSystem(), "/state");
    private readonly PartitionStates _states;

    public PartitionStatesTests() => _states = new PartitionStates(Storage());

    private protected override Task<IPartitionStates> StatesAsync() => Task.FromResult<IPartitionStates>(_states);

    [Fact]
    public async Task State_is_a_document_under_topic_id_and_number()
    {
        await _states.CreateAsync(Key, PartitionState.Create(Key.TopicId, [1]));
        Assert.NotNull(await _files.ReadAsync("partition/00112233445566778899aabbccddeeff/3"));
    }

    [Fact]
    public async Task State_that_its_leader_goes_on_writing_is_cleared()
    {
        var states = new PartitionStates(new BusyStorage(Storage(), writes: 4));
        var etag = await states.CreateAsync(Key, PartitionState.Create(Key.TopicId, [1]));
        await states.ClearAsync(Key);
        Assert.Null(await _states.ReadAsync(Key));
        await Assert.ThrowsAsync<StateConflictException>(() => _states.WriteAsync(Key, PartitionState.Create(Key.TopicId, [1]), etag));
    }

    private FileGrainStorage Storage() =>
        new(_files, StateDocuments.Json, Serialization.GetRequiredService<IActivatorProvider>());

    /// <summary>A storage to which a leader writes once more before each of the first removals.</summary>
    private sealed class BusyStorage(IGrainStorage storage, int writes) : IGrainStorage
    {
        private int _left = writes;

        public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
            storage.ReadStateAsync(stateName, grainId, grainState);

        public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
            storage.WriteStateAsync(stateName, grainId, grainState);

        public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
        {
            if (_left-- > 0)
                await storage.WriteStateAsync(stateName, grainId,
                    new GrainState<T>(grainState.State, grainState.ETag) { RecordExists = true });
            await storage.ClearStateAsync(stateName, grainId, grainState);
        }
    }
}
