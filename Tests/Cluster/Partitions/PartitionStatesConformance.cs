using OrleansMq.Grains.Partitions;
using OrleansMq.Replication;
using OrleansMq.State;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>The stored state of a partition changes only by compare-and-swap.</summary>
public abstract class PartitionStatesConformance
{
    private protected static readonly ReplicaKey Key = new(Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), 3);

    /// <summary>A new store.</summary>
    private protected abstract Task<IPartitionStates> StatesAsync();

    [SkippableFact]
    public async Task State_is_created_once_and_read_back()
    {
        var states = await StatesAsync();
        Assert.Null(await states.ReadAsync(Key));
        var created = PartitionState.Create(Key.TopicId, [2, 1]) with
        {
            LeaderEpoch = 7,
            Leader = 2,
            LeaderToken = Guid.NewGuid(),
            Isr = [new ReplicaIdentity(2, Guid.NewGuid())],
            Elr = [new ReplicaIdentity(1, Guid.NewGuid())],
        };
        var etag = await states.CreateAsync(Key, created);
        var stored = (await states.ReadAsync(Key))!;
        Assert.Equal((etag, created.ToString()), (stored.ETag, stored.State.ToString()));
        Assert.Equal((created.TopicId, created.LeaderToken), (stored.State.TopicId, stored.State.LeaderToken));
        Assert.Equal([2, 1], stored.State.Replicas.ToArray());
        await Assert.ThrowsAsync<StateConflictException>(() => states.CreateAsync(Key, created));
        Assert.Null(await states.ReadAsync(Key with { Partition = 4 }));
    }

    [SkippableFact]
    public async Task Write_without_the_current_etag_is_refused()
    {
        var states = await StatesAsync();
        var state = PartitionState.Create(Key.TopicId, [1]);
        var first = await states.CreateAsync(Key, state);
        var second = await states.WriteAsync(Key, state with { LeaderEpoch = 1 }, first);
        Assert.NotEqual(first, second);
        var conflict =
            await Assert.ThrowsAsync<StateConflictException>(() => states.WriteAsync(Key, state with { LeaderEpoch = 2 }, first));
        Assert.Equal(first, conflict.Expected);
        Assert.Equal(1, (await states.ReadAsync(Key))!.State.LeaderEpoch);
    }

    [SkippableFact]
    public async Task Cleared_state_is_gone_and_clear_is_idempotent()
    {
        var states = await StatesAsync();
        await states.ClearAsync(Key);
        var etag = await states.CreateAsync(Key, PartitionState.Create(Key.TopicId, [1]));
        await states.ClearAsync(Key);
        Assert.Null(await states.ReadAsync(Key));
        await Assert.ThrowsAsync<StateConflictException>(() => states.WriteAsync(Key, PartitionState.Create(Key.TopicId, [1]), etag));
    }

    [SkippableFact]
    public async Task Many_at_once_are_each_a_compare_and_swap()
    {
        const int partitions = 300;
        var states = await StatesAsync();
        ReplicaKey[] keys = [.. Enumerable.Range(0, partitions).Select(number => Key with { Partition = number })];
        var first = PartitionState.Create(Key.TopicId, [1]);
        var etags = await Task.WhenAll(keys.Select(key => states.CreateAsync(key, first)));
        // Of each partition two claim.
        var claims = await Task.WhenAll(keys.SelectMany((key, i) => new[] { 1, 2 }.Select(leader =>
            TryWriteAsync(states, key, first with { LeaderEpoch = 1, Leader = leader }, etags[i]))));
        for (var i = 0; i < partitions; i++)
        {
            var winner = Assert.Single(claims, claim => claim.Key == keys[i] && claim.ETag is not null);
            var stored = (await states.ReadAsync(keys[i]))!;
            Assert.Equal((winner.ETag, winner.Leader), (stored.ETag, stored.State.Leader));
        }
        await Task.WhenAll(keys.Concat(keys).Select(states.ClearAsync));
        Assert.All(await Task.WhenAll(keys.Select(states.ReadAsync)), Assert.Null);
        Assert.All(await Task.WhenAll(claims.Where(claim => claim.ETag is not null)
            .Select(claim => TryWriteAsync(states, claim.Key, first, claim.ETag!))), late => Assert.Null(late.ETag));
    }

    private protected static async Task<(ReplicaKey Key, int Leader, string? ETag)> TryWriteAsync(IPartitionStates states, ReplicaKey key,
        PartitionState state, string etag)
    {
        try
        {
            return (key, state.Leader, await states.WriteAsync(key, state, etag));
        }
        catch (StateConflictException)
        {
            return (key, state.Leader, null);
        }
    }
}
