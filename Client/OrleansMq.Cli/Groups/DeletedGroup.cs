using System.Text.Json.Serialization;

namespace OrleansMq.Cli.Groups;

/// <summary>What <c>omq group delete --json</c> says.</summary>
/// <param name="GroupId">The group that is no more.</param>
internal sealed record DeletedGroup(string GroupId);

/// <summary>The JSON of the groups' commands, where it is not the broker's own.</summary>
[JsonSourceGenerationOptions(System.Text.Json.JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(DeletedGroup))]
internal sealed partial class GroupCommandsJson : JsonSerializerContext;
