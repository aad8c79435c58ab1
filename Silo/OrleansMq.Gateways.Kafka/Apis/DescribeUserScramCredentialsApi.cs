using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 50: describes the SCRAM credentials of users, without secrets (KIP-554).</summary>
internal sealed class DescribeUserScramCredentialsApi()
    : KafkaApi<DescribeUserScramCredentialsRequest>(ApiKey.DescribeUserScramCredentials, 0, 0, flexibleFrom: 0)
{
    protected override DescribeUserScramCredentialsRequest Read(ref RequestReader reader, short version)
    {
        var users = new string[reader.ReadArrayLength(2)];
        for (var index = 0; index < users.Length; index++)
        {
            users[index] = reader.ReadString();
            reader.SkipTags();
        }
        return new DescribeUserScramCredentialsRequest(users);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DescribeUserScramCredentialsRequest request,
        ResponseWriter response)
    {
        var (error, message) = (ErrorCode.None, (string?)null);
        IReadOnlyList<UserDescription> found = [];
        try
        {
            found = await context.Security.DescribeUsersAsync(request.Users.Length == 0 ? null : request.Users.ToHashSet(),
                context.Aborted).ConfigureAwait(false);
        }
        catch (BrokerException refused)
        {
            (error, message) = (refused.Code, refused.Message);
        }
        response.WriteThrottle();
        response.WriteError(error);
        response.WriteString(message);
        var asked = error != ErrorCode.None ? [] : request.Users.Length == 0 ? found.Select(static user => user.Name)
            : request.Users.Distinct();
        WriteUsers(response, [.. asked], request.Users, found);
        response.WriteNoTags();
        return true;
    }

    private static void WriteUsers(ResponseWriter response, string[] asked, string[] named, IReadOnlyList<UserDescription> found)
    {
        response.WriteLength(asked.Length);
        foreach (var name in asked)
        {
            var isTwice = named.Count(one => one == name) > 1;
            var credentials = isTwice ? [] : found.FirstOrDefault(user => user.Name == name)?.Credentials ?? [];
            response.WriteString(name);
            response.WriteError(isTwice ? ErrorCode.DuplicateResource
                : credentials.Count == 0 ? ErrorCode.ResourceNotFound : ErrorCode.None);
            response.WriteString(isTwice ? $"User '{name}' is named twice."
                : credentials.Count == 0 ? $"There is no user '{name}' with SCRAM credentials." : null);
            response.WriteLength(credentials.Count);
            foreach (var credential in credentials)
            {
                response.WriteInt8((sbyte)credential.Mechanism);
                response.WriteInt32(credential.Iterations);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
    }
}

/// <summary>The body.</summary>
/// <param name="Users">The users; empty: all.</param>
internal sealed record DescribeUserScramCredentialsRequest(string[] Users);
