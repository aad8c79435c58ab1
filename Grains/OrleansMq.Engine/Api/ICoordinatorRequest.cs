namespace OrleansMq.Api;

/// <summary>A request to a coordinator. The layers between the caller and the coordinator forward it without reading it.</summary>
public interface ICoordinatorRequest
{
    /// <summary>Whether the response waits for other participants, possibly for minutes. Over grains the caller then polls for it with
    /// calls of a few seconds.</summary>
    bool WaitsForOthers => false;

    /// <summary>Whether the coordinator needs an id never used before to execute the request.</summary>
    bool NeedsFreshId => false;

    /// <summary>Creates the response that refuses this request: its own response type, with the error in it, or a response that reaches
    /// the caller as a <see cref="BrokerException"/>.</summary>
    /// <param name="error">The error, other than <see cref="ErrorCode.None"/>.</param>
    /// <param name="message">The cause and how to fix it.</param>
    object Refuse(ErrorCode error, string message);
}
