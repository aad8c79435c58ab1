using Orleans.Storage;

namespace OrleansMq.Samples.OrderFlow.Tests;

/// <summary>Which writes fail.</summary>
internal sealed class StorageFaults
{
    private int _writes;
    private int _failed;

    /// <summary>Every so many writes one fails; 0: none does. They fail in turns before and after the state is stored.</summary>
    public int Every { get; set; }

    /// <summary>How many have failed.</summary>
    public int Failed => _failed;

    /// <summary>Decides the next write: whether it fails, and whether that comes before it is stored.</summary>
    public (bool IsBefore, bool IsAfter) Next()
    {
        if (Every == 0 || Interlocked.Increment(ref _writes) % Every != 0)
            return default;
        var isBefore = Interlocked.Increment(ref _failed) % 2 == 0;
        return (isBefore, !isBefore);
    }
}

/// <summary>A storage whose writes fail now and then, as those of a database do whose connections break.</summary>
internal sealed class FlakyStorage(IGrainStorage storage, StorageFaults faults) : IGrainStorage
{
    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        storage.ReadStateAsync(stateName, grainId, grainState);

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        storage.ClearStateAsync(stateName, grainId, grainState);

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var (isBefore, isAfter) = faults.Next();
        if (isBefore)
            throw new TimeoutException("The storage does not answer.");
        await storage.WriteStateAsync(stateName, grainId, grainState);
        if (isAfter)
            throw new TimeoutException("The storage's answer is lost.");
    }
}
