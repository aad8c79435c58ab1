using OrleansMq.Api;

namespace OrleansMq.Groups;

/// <summary>A coordinator that refuses every request, for a broker without groups.</summary>
internal sealed class NoGroupCoordinator : IGroupCoordinator
{
    private const string Message = "This broker coordinates no consumer groups.";

    private NoGroupCoordinator() { }

    /// <summary>The only instance.</summary>
    public static NoGroupCoordinator Instance { get; } = new();

    /// <inheritdoc/>
    public ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken)
    {
        try
        {
            return new(request.Refused(ErrorCode.CoordinatorNotAvailable, Message));
        }
        catch (BrokerException refusal)
        {
            return ValueTask.FromException<TResult>(refusal);
        }
    }

    /// <inheritdoc/>
    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken) =>
        ValueTask.FromException<int>(Refusal());

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken) =>
        ValueTask.FromException<IReadOnlyList<GroupListing>>(Refusal());

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<string>> ListConfiguredAsync(CancellationToken cancellationToken) =>
        ValueTask.FromException<IReadOnlyList<string>>(Refusal());

    private static BrokerException Refusal() => new(ErrorCode.CoordinatorNotAvailable, Message);
}
