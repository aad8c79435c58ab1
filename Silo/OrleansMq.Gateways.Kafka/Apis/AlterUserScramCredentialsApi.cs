using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 51: sets and removes SCRAM credentials of users (KIP-554). The client salts the password; the broker never sees it. What a
/// request says of one user is done as a whole, or not at all.</summary>
internal sealed class AlterUserScramCredentialsApi()
    : KafkaApi<AlterUserScramCredentialsRequest>(ApiKey.AlterUserScramCredentials, 0, 0, flexibleFrom: 0)
{
    protected override AlterUserScramCredentialsRequest Read(ref RequestReader reader, short version)
    {
        var removals = new ScramRemoval[reader.ReadArrayLength(3)];
        for (var index = 0; index < removals.Length; index++)
        {
            removals[index] = new ScramRemoval(reader.ReadString(), (ScramMechanism)reader.ReadInt8());
            reader.SkipTags();
        }
        var settings = new ScramSetting[reader.ReadArrayLength(9)];
        for (var index = 0; index < settings.Length; index++)
        {
            settings[index] = new ScramSetting(reader.ReadString(), (ScramMechanism)reader.ReadInt8(), reader.ReadInt32(),
                reader.ReadBytes(), reader.ReadBytes());
            reader.SkipTags();
        }
        return new AlterUserScramCredentialsRequest(removals, settings);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, AlterUserScramCredentialsRequest request,
        ResponseWriter response)
    {
        var (removals, settings) = (request.Removals.ToLookup(static one => one.User), request.Settings.ToLookup(static one => one.User));
        string[] users = [.. removals.Select(static one => one.Key).Union(settings.Select(static one => one.Key))];
        // Before anything is done for each: there may be many.
        var isAllowed = context.Access.Authorizes(AccessOperation.Alter, ResourceType.Cluster);
        response.WriteThrottle();
        response.WriteLength(users.Length);
        foreach (var user in users)
        {
            var (error, message) = !isAllowed ? (ErrorCode.ClusterAuthorizationFailed, null)
                : await AlterAsync(context, user, [.. removals[user]], [.. settings[user]]).ConfigureAwait(false);
            response.WriteString(user);
            response.WriteError(error);
            response.WriteString(message);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, string? Message)> AlterAsync(RequestContext context, string user,
        ScramRemoval[] removals, ScramSetting[] settings)
    {
        context.Aborted.ThrowIfCancellationRequested();
        ScramMechanism[] named = [.. removals.Select(static one => one.Mechanism), .. settings.Select(static one => one.Mechanism)];
        if (named.Any(static one => one is not (ScramMechanism.Sha256 or ScramMechanism.Sha512)))
            return (ErrorCode.UnsupportedSaslMechanism, "The mechanism is SCRAM-SHA-256 (1) or SCRAM-SHA-512 (2).");
        if (named.Distinct().Count() < named.Length)
            return (ErrorCode.DuplicateResource, $"User '{user}' is given one mechanism twice.");
        if (settings.FirstOrDefault(static one => one.SaltedPassword.Length != one.Mechanism.HashBytes()) is { } wrong)
            return (ErrorCode.UnacceptableCredential,
                $"A salted password of {wrong.Mechanism.Name()} has {wrong.Mechanism.HashBytes()} bytes.");
        try
        {
            await context.Security.AlterUserAsync(new UserChange(user, [.. removals.Select(static one => one.Mechanism)],
                [.. settings.Select(static one => ScramCredential.FromSaltedPassword(one.Mechanism, one.Salt.ToArray(), one.Iterations,
                    one.SaltedPassword.Span))]), context.Aborted).ConfigureAwait(false);
            return (ErrorCode.None, null);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message);
        }
    }
}

/// <summary>A credential to remove.</summary>
internal sealed record ScramRemoval(string User, ScramMechanism Mechanism);

/// <summary>A credential to set.</summary>
internal sealed record ScramSetting(string User, ScramMechanism Mechanism, int Iterations, ReadOnlyMemory<byte> Salt,
    ReadOnlyMemory<byte> SaltedPassword)
{
    /// <summary>Omits the secret.</summary>
    public override string ToString() => nameof(ScramSetting);
}

/// <summary>The body.</summary>
/// <param name="Removals">Credentials to remove.</param>
/// <param name="Settings">Credentials to set.</param>
internal sealed record AlterUserScramCredentialsRequest(ScramRemoval[] Removals, ScramSetting[] Settings);
