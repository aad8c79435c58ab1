using System.Collections.Immutable;
using System.Text.Json.Serialization;

namespace OrleansMq.Security;

/// <summary>
/// The document with all rules and the names of all users. Each change of either, also of a user's credentials, raises the version: brokers
/// keep what they have read under it.
/// <para>A user exists while its name stands here. Credentials are stored before the name is added, and removed after it is gone. So
/// credentials without a name are left over from a change that did not complete, and count for nothing.</para>
/// </summary>
/// <param name="Version">Rises with each change.</param>
/// <param name="Rules">The rules, in the order in which they were created.</param>
/// <param name="Users">The names, in ordinal order.</param>
internal sealed record SecurityDocument(long Version, ImmutableArray<AclRule> Rules, ImmutableArray<string> Users)
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "security/cluster";

    /// <summary>The document before the first change.</summary>
    public static SecurityDocument Empty { get; } = new(0, [], []);

    /// <summary>Whether a user of that name exists.</summary>
    public bool Has(string user) => Users.BinarySearch(user, StringComparer.Ordinal) >= 0;

    /// <summary>The document of the next version, with the user.</summary>
    public SecurityDocument With(string user) => this with
    {
        Version = Version + 1,
        Users = Users.BinarySearch(user, StringComparer.Ordinal) is < 0 and var at ? Users.Insert(~at, user) : Users,
    };

    /// <summary>The document of the next version, without the user.</summary>
    public SecurityDocument Without(string user) => this with { Version = Version + 1, Users = Users.Remove(user, StringComparer.Ordinal) };
}

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
internal sealed partial class SecurityJson : JsonSerializerContext;
