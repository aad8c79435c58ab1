namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>A client of a coordinator that is killed.</summary>
internal interface ICoordinatorProbe
{
    /// <summary>What is asked for, in this order: one is asked for when those before it are answered.</summary>
    IReadOnlyList<string> Steps { get; }

    /// <summary>Does what the next coordinator must know.</summary>
    /// <param name="kill">The number of the kill that follows.</param>
    /// <returns>The coordinator's broker.</returns>
    Task<int> PrepareAsync(int kill);

    /// <summary>Asks once.</summary>
    /// <param name="step">The index of the step.</param>
    Task<(ErrorCode Error, string? Message)> TryAsync(int step);

    /// <summary>Whether the client asks again after an error.</summary>
    bool IsPassing(ErrorCode error);

    /// <summary>Checks that the next coordinator knows what was prepared.</summary>
    /// <exception cref="InvalidOperationException">It does not.</exception>
    Task CheckAsync(int kill);
}
