using Orleans.Storage;

namespace OrleansMq.Grains.PostgreSql;

/// <summary>
/// Grain storage in which every grain key is its own. Orleans' ADO.NET provider stores a key that reads as a hexadecimal number or a GUID
/// as that number: the topics <c>cafe</c>, <c>CAFE</c> and <c>0cafe</c> would share one state. Behind a prefix that neither begins with,
/// each is stored as the text it is.
/// </summary>
/// <param name="storage">Orleans' provider.</param>
internal sealed class ExactKeyGrainStorage(AdoNetGrainStorage storage) : IGrainStorage, ILifecycleParticipant<ISiloLifecycle>
{
    /// <summary>What stands before the key in the database.</summary>
    public const string Prefix = ":";

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
