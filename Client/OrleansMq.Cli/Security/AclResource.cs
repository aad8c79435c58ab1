using System.CommandLine;
using OrleansMq.Access;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Security;

/// <summary>A resource as it is written on the command line, such as <c>topic:orders</c> or <c>cluster</c>.</summary>
/// <param name="Type">The kind.</param>
/// <param name="Name">The name; <c>*</c> for all.</param>
internal sealed record AclResource(ResourceType Type, string Name)
{
    private const string Expected = "topic:NAME, group:ID, transactional-id:ID, user:PRINCIPAL or cluster; the name * is every one";

    /// <summary>Creates the argument.</summary>
    /// <param name="isRequired">Whether it must be given.</param>
    public static Argument<string> Argument(bool isRequired) => new("RESOURCE")
    {
        Description = $"The resource: {Expected}.",
        Arity = isRequired ? ArgumentArity.ExactlyOne : ArgumentArity.ZeroOrOne,
    };

    /// <summary>Parses a resource.</summary>
    /// <exception cref="CommandFailedException">It is malformed.</exception>
    public static AclResource Parse(string text)
    {
        if (text == "cluster")
            return new AclResource(ResourceType.Cluster, ResourceTypes.Cluster);
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        var type = colon < 0 ? ResourceType.Unknown : text[..colon] switch
        {
            "topic" => ResourceType.Topic,
            "group" => ResourceType.Group,
            "transactional-id" => ResourceType.TransactionalId,
            "user" => ResourceType.User,
            _ => ResourceType.Unknown,
        };
        return type != ResourceType.Unknown && colon < text.Length - 1 ? new AclResource(type, text[(colon + 1)..])
            : throw CommandFailedException.Usage($"RESOURCE '{text}': expected {Expected}.");
    }

    /// <summary>Parses operations, separated by commas.</summary>
    /// <exception cref="CommandFailedException">One is not known.</exception>
    public static AccessOperation[] ParseOperations(string text) => [.. text.Split(',').Select(static name =>
        Enum.TryParse<AccessOperation>(name, ignoreCase: true, out var operation) && char.IsAsciiLetter(name[0])
            && operation is not (AccessOperation.Unknown or AccessOperation.Any) ? operation
            : throw CommandFailedException.Usage($"OPERATION '{name}': expected {Operations}, or several separated by commas."))];

    private static string Operations => string.Join(", ", Enum.GetValues<AccessOperation>()
        .Where(static one => one is not (AccessOperation.Unknown or AccessOperation.Any)));
}
