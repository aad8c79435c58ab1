using System.Net.Http.Json;
using System.Text.Json.Serialization.Metadata;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Sends one type of group request over HTTP.</summary>
internal abstract class GroupRoute<TResult>
{
    /// <summary>Sends a request of this type.</summary>
    public abstract ValueTask<TResult> SendAsync(HttpBroker broker, IGroupRequest<TResult> request, CancellationToken cancellationToken);
}

/// <summary>An administrative request: its response is a resource, and a refusal is thrown.</summary>
internal sealed class AdministrationRoute<TResult>(Func<HttpBroker, string, CancellationToken, ValueTask<TResult>> send)
    : GroupRoute<TResult>
{
    /// <inheritdoc/>
    public override ValueTask<TResult> SendAsync(HttpBroker broker, IGroupRequest<TResult> request,
        CancellationToken cancellationToken) => send(broker, GroupRoutes.PathOf(request.GroupId), cancellationToken);
}

/// <summary>
/// A request of a protocol: <c>POST /api/groups/PATH</c>. It goes to one broker after the other as long as it was certainly not carried
/// out. Where that is unknown it ends as <see cref="ErrorCode.CoordinatorNotAvailable"/>, since each of them may be sent again, and the
/// next one goes to the next broker.
/// </summary>
/// <param name="path">The last segment of the path.</param>
/// <param name="bodyOf">Creates the body.</param>
/// <param name="bodyType">The JSON type of the body.</param>
/// <param name="answerType">The JSON type of the response.</param>
/// <param name="resultOf">Converts the response.</param>
/// <param name="maxWaitOf">Returns how long the broker may wait before it responds, in addition to the time limit of every request.</param>
internal sealed class ProtocolRoute<TRequest, TResult, TBody, TAnswer>(string path, Func<TRequest, TBody> bodyOf,
    JsonTypeInfo<TBody> bodyType, JsonTypeInfo<TAnswer> answerType, Func<TAnswer, TResult> resultOf,
    Func<TRequest, TimeSpan>? maxWaitOf = null) : GroupRoute<TResult> where TRequest : class, IGroupRequest<TResult>
{
    /// <inheritdoc/>
    public override async ValueTask<TResult> SendAsync(HttpBroker broker, IGroupRequest<TResult> request,
        CancellationToken cancellationToken)
    {
        var body = bodyOf((TRequest)request);
        try
        {
            return resultOf(await broker.OfferAsync($"{GroupRoutes.Root}/{path}", () => JsonContent.Create(body, bodyType), answerType,
                maxWaitOf?.Invoke((TRequest)request) ?? TimeSpan.Zero, cancellationToken).ConfigureAwait(false));
        }
        catch (BrokerException failure)
        {
            return request.Refused(HttpBroker.CoordinatorErrorOf(failure), failure.Message);
        }
    }
}
