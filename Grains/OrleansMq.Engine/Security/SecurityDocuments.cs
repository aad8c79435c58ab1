using System.Collections.Immutable;
using System.Security.Cryptography;
using System.Text.Json.Serialization;
using OrleansMq.State;

namespace OrleansMq.Security;

/// <summary>
/// The document with all rules and the names of all users. Each change of either, also of a user's credentials, raises the version: brokers
/// keep what they have read under it.
/// <para>A user exists while its name stands here. Credentials are stored before the name is added, and removed after it is gone. So
/// credentials without a name are left over from a change that did not complete, and count for nothing.</para>
/// </summary>
/// <param name="Version">Rises with each change.</param>
/// <param name="Id">Another with each change. A document of before, as of a database that was restored, may go on with the same versions;
/// it has other ids.</param>
/// <param name="Secret">What users that do not exist are answered from, the same on every broker.</param>
/// <param name="Rules">The rules, in the order in which they were created.</param>
/// <param name="Users">The users, by name.</param>
internal sealed record SecurityDocument(long Version, Guid Id, byte[] Secret, ImmutableArray<AclRule> Rules,
    ImmutableDictionary<string, UserEntry> Users) : IFollowedDocument
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "security/cluster";

    /// <summary>The document before the first change.</summary>
    public static SecurityDocument Empty { get; } = new(0, Guid.Empty, [], [], ImmutableDictionary<string, UserEntry>.Empty);

    /// <summary>The document of the next version, with other rules.</summary>
    public SecurityDocument With(ImmutableArray<AclRule> rules) => Next() with { Rules = rules };

    /// <summary>The document of the next version, with the user: its credentials have changed.</summary>
    public SecurityDocument With(string user) => Next() with
    {
        Users = Users.SetItem(user, new UserEntry(Users.TryGetValue(user, out var known) ? known.CreatedAt : Version + 1, Version + 1)),
    };

    /// <summary>The document of the next version, without the user.</summary>
    public SecurityDocument Without(string user) => Next() with { Users = Users.Remove(user) };

    /// <summary>Omits the secret.</summary>
    public override string ToString() => $"{nameof(SecurityDocument)} {Version}";

    private SecurityDocument Next() => this with
    {
        Version = Version + 1,
        Id = Guid.NewGuid(),
        Secret = Secret.Length > 0 ? Secret : RandomNumberGenerator.GetBytes(32),
    };
}

/// <summary>A user's versions.</summary>
/// <param name="CreatedAt">The version that created it.</param>
/// <param name="ChangedAt">The version that changed its credentials last.</param>
internal readonly record struct UserEntry(long CreatedAt, long ChangedAt);

/// <summary>The credentials of one user.</summary>
/// <param name="Scram">At most one for each mechanism.</param>
internal sealed record UserDocument(ImmutableArray<ScramCredential> Scram)
{
    /// <summary>No credentials.</summary>
    public static UserDocument Empty { get; } = new([]);

    /// <summary>The document's key in the state store.</summary>
    public static string KeyOf(string user) => $"security-user/{user}";

    /// <summary>The credential for a mechanism; null for none.</summary>
    public ScramCredential? Find(ScramMechanism mechanism) => Scram.FirstOrDefault(one => one.Mechanism == mechanism);

    /// <summary>The user with another credential for a mechanism.</summary>
    public UserDocument With(ScramCredential credential) => new([.. Without(credential.Mechanism).Scram, credential]);

    /// <summary>The user without a credential for a mechanism.</summary>
    public UserDocument Without(ScramMechanism mechanism) => new(Scram.RemoveAll(one => one.Mechanism == mechanism));

    /// <summary>Omits the credentials.</summary>
    public override string ToString() => nameof(UserDocument);
}

/// <summary>The JSON of the documents.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(SecurityDocument))]
[JsonSerializable(typeof(UserDocument))]
[JsonSerializable(typeof(TicketDocument))]
internal sealed partial class SecurityJson : JsonSerializerContext;
