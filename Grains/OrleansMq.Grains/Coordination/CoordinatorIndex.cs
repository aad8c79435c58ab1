using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using OrleansMq.Coordination;
using OrleansMq.State;

namespace OrleansMq.Grains.Coordination;

/// <summary>
/// The ids that have documents of one kind of coordinator: the documents <c>TYPE-index/00</c> to <c>TYPE-index/3f</c>, for groups
/// <c>group-index/00</c>. Any silo changes them by compare-and-swap. An id is entered before its first document is written, and removed
/// after the last one was deleted, so that a crash in between leaves an id too many, never one too few.
/// <para>A silo that removes an id looks for the documents afterwards; a silo that enters one looks for the id after the document was
/// written. One of the two sees the other, whatever the order.</para>
/// </summary>
/// <param name="kind">The kind of coordinator.</param>
/// <param name="store">The store of the index.</param>
internal sealed class CoordinatorIndex(CoordinatorKind kind, IStateStore store)
{
    /// <summary>Documents: enough that the first writes of a thousand new coordinators do not wait for each other, few enough to read them
    /// all at once.</summary>
    public const int Shards = 64;

    // Each lost swap means that another silo's went through: with some dozens of silos one of so many attempts is ours.
    private const int Attempts = 64;

    private readonly SemaphoreSlim[] _gates = [.. Enumerable.Range(0, Shards).Select(_ => new SemaphoreSlim(1, 1))];

    /// <summary>Enters an id; one that is there is fine.</summary>
    /// <exception cref="IOException">It is perhaps entered, perhaps not.</exception>
    public Task AddAsync(string id) => ChangeAsync(id, shard => shard with { Ids = shard.Ids.Add(id) });

    /// <summary>Enters an id, unless there are too many; one that is there is fine.</summary>
    /// <param name="id">The id.</param>
    /// <param name="most">The most ids. Each document has its part, so the last percents may stay free.</param>
    /// <param name="refusal">Why no other is entered, and what to do.</param>
    /// <exception cref="StateLimitException">There are too many.</exception>
    /// <exception cref="IOException">It is perhaps entered, perhaps not.</exception>
    public Task AddAsync(string id, int most, string refusal) => ChangeAsync(id, shard =>
        shard.Ids.Count < Math.Max(most / Shards, 1) || shard.Ids.Contains(id) ? shard with { Ids = shard.Ids.Add(id) }
            : throw new StateLimitException(refusal));

    /// <summary>Removes an id; one that is not there is fine.</summary>
    /// <exception cref="IOException">It is perhaps removed, perhaps not.</exception>
    public Task RemoveAsync(string id) => ChangeAsync(id, shard => shard with { Ids = shard.Ids.Remove(id) });

    /// <summary>All ids, in ordinal order. Some may have nothing stored.</summary>
    /// <exception cref="IOException">The store does not answer.</exception>
    public async Task<IReadOnlyList<string>> ListAsync()
    {
        var shards =
            await Task.WhenAll(Enumerable.Range(0, Shards).Select(async number => (await ReadAsync(number).ConfigureAwait(false)).Shard))
            .ConfigureAwait(false);
        return [.. shards.SelectMany(shard => shard.Ids).Order(StringComparer.Ordinal)];
    }

    /// <summary>Which document an id is in.</summary>
    public static int ShardOf(string id) => SHA256.HashData(Encoding.UTF8.GetBytes(id))[0] % Shards;

    private async Task ChangeAsync(string id, Func<CoordinatorIndexShard, CoordinatorIndexShard> change)
    {
        var number = ShardOf(id);
        await _gates[number].WaitAsync().ConfigureAwait(false);
        try
        {
            for (var attempt = 1; ; attempt++)
            {
                var (shard, etag) = await ReadAsync(number).ConfigureAwait(false);
                var next = change(shard);
                if (ReferenceEquals(next.Ids, shard.Ids))
                    return;
                try
                {
                    await store.WriteAsync(KeyOf(number),
                        JsonSerializer.SerializeToUtf8Bytes(next, CoordinatorStateJson.Default.CoordinatorIndexShard),
                        etag)
                        .ConfigureAwait(false);
                    return;
                }
                catch (StateConflictException conflict) when (attempt == Attempts)
                {
                    throw new IOException($"The index '{KeyOf(number)}' was changed by others {Attempts} times in a row.",
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

    private async Task<(CoordinatorIndexShard Shard, string? ETag)> ReadAsync(int number)
    {
        if (await store.ReadAsync(KeyOf(number)).ConfigureAwait(false) is not { } stored)
            return (CoordinatorIndexShard.Empty, null);
        try
        {
            var shard = JsonSerializer.Deserialize(stored.Value.Span, CoordinatorStateJson.Default.CoordinatorIndexShard)!;
            return (new(shard.Ids.WithComparer(StringComparer.Ordinal)), stored.ETag);
        }
        catch (JsonException damaged)
        {
            throw new CorruptStateException(KeyOf(number), damaged);
        }
    }

    private string KeyOf(int number) => string.Create(CultureInfo.InvariantCulture, $"{kind.Documents[0].StoreType}-index/{number:x2}");
}
