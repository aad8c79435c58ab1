using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime.Hosting;
using Orleans.Storage;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Grain storage that the silos of a process share, in Orleans' default format, and whose writes can fail.</summary>
internal sealed class SharedStorage(IGrainStorageSerializer serializer) : IGrainStorage
{
    public const string Name = "shared";

    private static readonly ConcurrentDictionary<(string, GrainId), (string ETag, BinaryData State)> s_stored = new();

    /// <summary>What fails, by the grain: before the write is stored, or after it. Null: none.</summary>
    public static Func<GrainId, (Exception? Before, Exception? After)>? Failing { get; set; }

    /// <summary>What fails of one grain, whatever other tests set.</summary>
    public static ConcurrentDictionary<GrainId, Func<(Exception? Before, Exception? After)>> FailingOf { get; } = [];

    public static void AddTo(ISiloBuilder silo)
    {
        silo.Services.AddGrainStorage(Name,
            static (services, _) => new SharedStorage(services.GetRequiredService<IGrainStorageSerializer>()));
        silo.AddStateStorageBasedLogConsistencyProvider("journal");
        silo.AddLogStorageBasedLogConsistencyProvider("journal-log");
    }

    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        grainState.RecordExists = s_stored.TryGetValue((stateName, grainId), out var stored);
        (grainState.ETag, grainState.State) = grainState.RecordExists ? (stored.ETag, serializer.Deserialize<T>(stored.State))
            : (null!, Activator.CreateInstance<T>());
        return Task.CompletedTask;
    }

    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var (before, after) = FailingOf.TryGetValue(grainId, out var own) ? own() : Failing?.Invoke(grainId) ?? default;
        if (before is not null)
            throw before;
        var fresh = (ETag: $"{Guid.NewGuid()}", State: serializer.Serialize(grainState.State));
        var isStored = s_stored.TryGetValue((stateName, grainId), out var stored)
            ? stored.ETag == grainState.ETag && s_stored.TryUpdate((stateName, grainId), fresh, stored)
            : s_stored.TryAdd((stateName, grainId), fresh);
        if (!isStored)
            throw new InconsistentStateException($"{grainId} was written by another activation.", stored.ETag, grainState.ETag);
        if (after is not null)
            throw after;
        (grainState.ETag, grainState.RecordExists) = (fresh.ETag, true);
        return Task.CompletedTask;
    }

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        s_stored.TryRemove((stateName, grainId), out _);
        (grainState.ETag, grainState.RecordExists) = (null!, false);
        return Task.CompletedTask;
    }
}
