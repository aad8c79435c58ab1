using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using OrleansMq.State;

namespace OrleansMq.Grains.Groups;

/// <summary>
/// Which groups have stored something: the documents <c>group-index/00</c> to <c>group-index/3f</c>, each a compare-and-swap by whichever
/// silo has something to change. An id is entered before its group's first document is written and removed after the last one was deleted,
/// so that a crash in between leaves an id too many, never one too few.
/// <para>Who removes looks for the group's documents afterwards, who enters looks for the id after the document was written: one of the two
/// sees the other, whatever the order.</para>
/// </summary>
/// <param name="store">Where the documents are.</param>
internal sealed class GroupIndex(IStateStore store)
{
    /// <summary>The type of its documents.</summary>
    public const string StateName = "group-index";

    /// <summary>Documents: enough that the first commits of a thousand new groups do not wait for each other, few enough to read them all
    /// at once.</summary>
    public const int Shards = 64;

    // Each lost swap means that another silo's went through: with some dozens of silos one of so many attempts is ours.
    private const int Attempts = 64;

    private readonly SemaphoreSlim[] _gates = [.. Enumerable.Range(0, Shards).Select(_ => new SemaphoreSlim(1, 1))];

    /// <summary>Enters an id; one that is there is fine.</summary>
    /// <exception cref="IOException">It is perhaps entered, perhaps not.</exception>
    public Task AddAsync(string groupId) => ChangeAsync(groupId, shard => shard with { Groups = shard.Groups.Add(groupId) });

    /// <summary>Removes an id; one that is not there is fine.</summary>
    /// <exception cref="IOException">It is perhaps removed, perhaps not.</exception>
    public Task RemoveAsync(string groupId) => ChangeAsync(groupId, shard => shard with { Groups = shard.Groups.Remove(groupId) });

    /// <summary>All ids, in ordinal order. Of some the group may have nothing stored.</summary>
    /// <exception cref="IOException">The store does not answer.</exception>
    public async Task<IReadOnlyList<string>> ListAsync()
    {
        var shards =
            await Task.WhenAll(Enumerable.Range(0, Shards).Select(async number => (await ReadAsync(number).ConfigureAwait(false)).Shard))
            .ConfigureAwait(false);
        return [.. shards.SelectMany(shard => shard.Groups).Order(StringComparer.Ordinal)];
    }

    /// <summary>Which document an id is in.</summary>
    public static int ShardOf(string groupId) => SHA256.HashData(Encoding.UTF8.GetBytes(groupId))[0] % Shards;

    private async Task ChangeAsync(string groupId, Func<GroupIndexShard, GroupIndexShard> change)
    {
        var number = ShardOf(groupId);
        await _gates[number].WaitAsync().ConfigureAwait(false);
        try
        {
            for (var attempt = 1; ; attempt++)
            {
                var (shard, etag) = await ReadAsync(number).ConfigureAwait(false);
                var next = change(shard);
                if (ReferenceEquals(next.Groups, shard.Groups))
                    return;
                try
                {
                    await store.WriteAsync(KeyOf(number), JsonSerializer.SerializeToUtf8Bytes(next, GroupStateJson.Default.GroupIndexShard),
                        etag)
                        .ConfigureAwait(false);
                    return;
                }
                catch (StateConflictException conflict) when (attempt == Attempts)
                {
                    throw new IOException($"The index of groups '{KeyOf(number)}' was changed by others {Attempts} times in a row.",
                        conflict);
                }
                catch (StateConflictException)
                {
                    // Another silo was first: on top of what it wrote.
                }
            }
        }
        finally
        {
            _gates[number].Release();
        }
    }

    private async Task<(GroupIndexShard Shard, string? ETag)> ReadAsync(int number)
    {
        if (await store.ReadAsync(KeyOf(number)).ConfigureAwait(false) is not { } stored)
            return (GroupIndexShard.Empty, null);
        try
        {
            var shard = JsonSerializer.Deserialize(stored.Value.Span, GroupStateJson.Default.GroupIndexShard)!;
            return (new(shard.Groups.WithComparer(StringComparer.Ordinal)), stored.ETag);
        }
        catch (JsonException damaged)
        {
            throw new CorruptStateException(KeyOf(number), damaged);
        }
    }

    private static string KeyOf(int number) => string.Create(CultureInfo.InvariantCulture, $"{StateName}/{number:x2}");
}
