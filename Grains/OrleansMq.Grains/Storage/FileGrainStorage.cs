using System.Text.Json;
using Orleans.Serialization.Serializers;
using Orleans.Storage;
using OrleansMq.State;

namespace OrleansMq.Grains.Storage;

/// <summary>
/// Grain state in the engine's state store: the document <c>&lt;state name&gt;/&lt;grain key&gt;</c> holds the state as JSON and nothing
/// else, so that the standalone host reads and writes the same documents. The provider's name is <see cref="ProviderName"/>.
/// <para>A write or clear that loses a conflict throws <see cref="InconsistentStateException"/>. A failing disk throws
/// <see cref="IOException"/> with the path in its message.</para>
/// </summary>
/// <param name="store">Holds the documents.</param>
/// <param name="json">The JSON options of the state's types.</param>
/// <param name="activators">Create the state of a grain that has none stored.</param>
internal sealed class FileGrainStorage(IStateStore store, JsonSerializerOptions json, IActivatorProvider activators) : IGrainStorage
{
    /// <summary>The provider's name, as grains refer to it: <c>omq</c>.</summary>
    public const string ProviderName = "omq";

    /// <inheritdoc/>
    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        if (await store.ReadAsync(KeyOf(stateName, grainId)) is { } document)
        {
            grainState.State = JsonSerializer.Deserialize<T>(document.Value.Span, json)
                ?? throw new InvalidDataException($"The state '{KeyOf(stateName, grainId)}' is null.");
            grainState.ETag = document.ETag;
            grainState.RecordExists = true;
        }
        else
        {
            SetMissing(grainState);
        }
    }

    /// <inheritdoc/>
    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var value = JsonSerializer.SerializeToUtf8Bytes(grainState.State, json);
        try
        {
            grainState.ETag = await store.WriteAsync(KeyOf(stateName, grainId), value, grainState.ETag);
        }
        catch (StateConflictException conflict)
        {
            throw new InconsistentStateException(conflict.Message, conflict.Stored, conflict.Expected, conflict);
        }
        grainState.RecordExists = true;
    }

    /// <inheritdoc/>
    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        try
        {
            await store.DeleteAsync(KeyOf(stateName, grainId), grainState.ETag);
        }
        catch (StateConflictException conflict)
        {
            throw new InconsistentStateException(conflict.Message, conflict.Stored, conflict.Expected, conflict);
        }
        SetMissing(grainState);
    }

    private void SetMissing<T>(IGrainState<T> grainState)
    {
        grainState.State = activators.GetActivator<T>().Create();
        grainState.ETag = null!;
        grainState.RecordExists = false;
    }

    private static string KeyOf(string stateName, GrainId grainId) => $"{stateName}/{grainId.Key}";
}
