using System.Text;
using Orleans.Storage;

namespace OrleansMq.Grains.PostgreSql;

/// <summary>
/// Grain storage that keeps every grain key distinct. Orleans' ADO.NET provider stores a key that parses as a hexadecimal number or a GUID
/// as that number: the topics <c>cafe</c>, <c>CAFE</c> and <c>0cafe</c> would share one state. With a prefix that is neither, every key is
/// stored as text.
/// </summary>
internal sealed class ExactKeyGrainStorage(AdoNetGrainStorage storage) : IGrainStorage, ILifecycleParticipant<ISiloLifecycle>
{
    /// <summary>The prefix of each key in the database.</summary>
    public const string Prefix = ":";

    private static readonly OrleansDefaultHasher Hasher = new();

    /// <summary>Returns the hash that the provider stores beside a key: that of the text's bytes, the last one first.</summary>
    /// <param name="key">The key, without the prefix.</param>
    public static int HashOf(string key)
    {
        var bytes = Encoding.UTF8.GetBytes(Prefix + key);
        if (BitConverter.IsLittleEndian)
            Array.Reverse(bytes);
        return Hasher.Hash(bytes);
    }

    /// <inheritdoc/>
    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        storage.ReadStateAsync(stateName, Exact(grainId), grainState);

    /// <inheritdoc/>
    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        storage.WriteStateAsync(stateName, Exact(grainId), grainState);

    /// <inheritdoc/>
    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        storage.ClearStateAsync(stateName, Exact(grainId), grainState);

    /// <inheritdoc/>
    public void Participate(ISiloLifecycle lifecycle) => storage.Participate(lifecycle);

    private static GrainId Exact(GrainId grainId) => GrainId.Create(grainId.Type, IdSpan.Create(Prefix + grainId.Key));
}
