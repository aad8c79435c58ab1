using System.Text.Json.Serialization;

namespace OrleansMq.Cli.Groups;

/// <summary>The result of <c>omq group delete --json</c>.</summary>
/// <param name="GroupId">The deleted group.</param>
internal sealed record DeletedGroup(string GroupId);

/// <summary>The JSON of the group commands that is not part of the broker API.</summary>
[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(DeletedGroup))]
internal sealed partial class GroupCommandsJson : JsonSerializerContext;
