using System.Collections.Immutable;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>A user: a document of its own, <c>amqp-user/name</c>. Its permissions are in the documents of the virtual hosts.</summary>
internal sealed record UserState
{
    /// <summary>The type of the documents: the first half of their keys.</summary>
    public const string StoreType = "amqp-user";

    /// <summary>The user that exists from the start. It logs in from this machine only.</summary>
    public const string Guest = "guest";

    /// <summary>The tag of users that may publish under another user's id.</summary>
    public const string Impersonator = "impersonator";

    private static readonly string Nobody = VirtualHosts.PasswordHash.Create("", "none"u8);

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Distinguishes it from a user of the same name that was deleted. Chosen at random, never 0.</summary>
    public required long Id { get; init; }

    /// <summary>Its password, hashed as <see cref="VirtualHosts.PasswordHash"/> says; empty for none.</summary>
    public string PasswordHash { get; init; } = "";

    /// <summary>The algorithm of the hash.</summary>
    public string HashingAlgorithm { get; init; } = VirtualHosts.PasswordHash.Sha256;

    /// <summary>Its tags, such as <c>administrator</c>.</summary>
    public ImmutableArray<string> Tags { get; init; } = [];

    /// <summary>Whether it logs in from this machine only.</summary>
    [JsonIgnore]
    public bool IsLoopbackOnly => Name == Guest;

    /// <summary>Whether a login is accepted. A refused one does not say why.</summary>
    /// <param name="user">The user; null if there is none of the name.</param>
    /// <param name="password">The password.</param>
    /// <param name="isLoopback">Whether the connection comes from this machine.</param>
    /// <remarks>It takes as long for a user that does not exist.</remarks>
    public static bool MayLogIn(UserState? user, string password, bool isLoopback) =>
        VirtualHosts.PasswordHash.Verify(user is { PasswordHash.Length: > 0 } ? user.PasswordHash : Nobody,
            user is { PasswordHash.Length: > 0 } ? user.HashingAlgorithm : VirtualHosts.PasswordHash.Sha256, password)
        && user is { PasswordHash.Length: > 0 } && (isLoopback || !user.IsLoopbackOnly);
}

/// <summary>What a user may do in a virtual host.</summary>
internal sealed record UserPermissions
{
    /// <summary>The id of the user that they were given to. A new user of the same name does not inherit them.</summary>
    public required long UserId { get; init; }

    /// <summary>What it may declare and delete.</summary>
    public SafePattern? Configure { get; init; }

    /// <summary>What it may publish to.</summary>
    public SafePattern? Write { get; init; }

    /// <summary>What it may consume from.</summary>
    public SafePattern? Read { get; init; }

    /// <summary>Limits to the routing keys of topic exchanges, by exchange.</summary>
    public ImmutableSortedDictionary<string, TopicPermission> Topics
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader creates one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, TopicPermission>(StringComparer.Ordinal);

    /// <summary>Creates permissions for everything.</summary>
    public static UserPermissions All(long userId) => new()
    {
        UserId = userId,
        Configure = SafePattern.Everything,
        Write = SafePattern.Everything,
        Read = SafePattern.Everything,
    };
}

/// <summary>Which routing keys a user may publish with and bind by. <c>{username}</c> and <c>{vhost}</c> stand for the names.</summary>
/// <param name="Write">The pattern for publishing.</param>
/// <param name="Read">The pattern for binding.</param>
internal sealed record TopicPermission(string Write, string Read);

/// <summary>A permission.</summary>
internal enum Permission
{
    /// <summary>Declare and delete.</summary>
    Configure,
    /// <summary>Publish, bind to.</summary>
    Write,
    /// <summary>Consume, bind from.</summary>
    Read,
}
