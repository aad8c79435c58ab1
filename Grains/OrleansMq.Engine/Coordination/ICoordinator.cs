using OrleansMq.Api;

namespace OrleansMq.Coordination;

/// <summary>One open coordinator. Thread safe.</summary>
internal interface ICoordinator : IAsyncDisposable
{
    /// <summary>Whether it answers no more: it was closed, or another coordinator owns the documents. Open another.</summary>
    bool IsClosed { get; }

    /// <summary>Whether nothing would be lost if it was closed and opened again.</summary>
    bool IsVacant { get; }

    /// <summary>Occurs when it is at rest and vacant (<see cref="IsVacant"/>). May occur repeatedly.</summary>
    event Action? Vacated;

    /// <summary>Carries a request out.</summary>
    /// <param name="body">The request; its bytes must not be changed afterwards.</param>
    /// <param name="cancellationToken">Ends the wait. Whether the request was carried out is then unknown.</param>
    /// <returns>The answer, or the refusal that <see cref="ICoordinatorRequest.Refuse"/> makes.</returns>
    ValueTask<object> AskAsync(ICoordinatorRequest body, CancellationToken cancellationToken = default);
}
