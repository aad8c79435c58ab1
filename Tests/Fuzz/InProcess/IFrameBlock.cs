namespace OrleansMq.Tests.Fuzz.InProcess;

/// <summary>The frames of one seed, for a broker in memory without a socket.</summary>
internal interface IFrameBlock
{
    /// <summary>The frames of a block; some more, where a conversation goes on.</summary>
    const int Frames = 10_000;

    /// <summary>How many frames were valid requests.</summary>
    int Decoded { get; }

    /// <summary>How many answers there were.</summary>
    int Answered { get; }

    /// <summary>Runs the frames. Throws where one does harm.</summary>
    /// <exception cref="FuzzFailedException">The message has the frames.</exception>
    Task RunAsync();
}
