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

/// <summary>The stored state of a partition changes only by compare-and-swap.</summary>
public sealed class PartitionStatesTests
{
    private static readonly ReplicaKey Key = new(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), 3);
    private static readonly IServiceProvider Serialization = new ServiceCollection().AddSerializer().BuildServiceProvider();

    private readonly FileStateStore _files = FileStateStore.Open(new MemoryFileSystem(), "/state");
    private readonly PartitionStates _states;

    public PartitionStatesTests() => _states = new PartitionStates(Storage());

    [Fact]
    public async Task State_is_created_once_and_read_back()
    {
        Assert.Null(await _states.ReadAsync(Key));
        var created = PartitionState.Create(Key.TopicId, [2, 1]) with
        {
            LeaderEpoch = 7,
            Leader = 2,
            LeaderToken = Guid.NewGuid(),
            Isr = [new ReplicaIdentity(2, Guid.NewGuid())],
            Elr = [new ReplicaIdentity(1, Guid.NewGuid())],
        };
        var etag = await _states.CreateAsync(Key, created);
        var stored = (await _states.ReadAsync(Key))!;
        Assert.Equal((etag, created.ToString()), (stored.ETag, stored.State.ToString()));
        Assert.Equal((created.TopicId, created.LeaderToken), (stored.State.TopicId, stored.State.LeaderToken));
        Assert.Equal([2, 1], stored.State.Replicas.ToArray());
        await Assert.ThrowsAsync<StateConflictException>(() => _states.CreateAsync(Key, created));
        Assert.NotNull(await _files.ReadAsync("partition/00112233445566778899aabbccddeeff/3"));
        Assert.Null(await _states.ReadAsync(Key with { Partition = 4 }));
    }

    [Fact]
    public async Task Write_without_the_current_etag_is_refused()
    {
        var state = PartitionState.Create(Key.TopicId, [1]);
        var first = await _states.CreateAsync(Key, state);
        var second = await _states.WriteAsync(Key, state with { LeaderEpoch = 1 }, first);
        Assert.NotEqual(first, second);
        var conflict =
            await Assert.ThrowsAsync<StateConflictException>(() => _states.WriteAsync(Key, state with { LeaderEpoch = 2 }, first));
        Assert.Equal((first, second), (conflict.Expected, conflict.Stored));
        Assert.Equal(1, (await _states.ReadAsync(Key))!.State.LeaderEpoch);
    }

    [Fact]
    public async Task Cleared_state_is_gone_and_clear_is_idempotent()
    {
        await _states.ClearAsync(Key);
        var etag = await _states.CreateAsync(Key, PartitionState.Create(Key.TopicId, [1]));
        await _states.ClearAsync(Key);
        Assert.Null(await _states.ReadAsync(Key));
        await Assert.ThrowsAsync<StateConflictException>(() => _states.WriteAsync(Key, PartitionState.Create(Key.TopicId, [1]), etag));
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
