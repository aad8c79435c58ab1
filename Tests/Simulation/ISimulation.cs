namespace OrleansMq.Tests.Simulation;

/// <summary>One run from one seed. It throws where an invariant is broken, or where the code under test throws.</summary>
internal interface ISimulation<TFigures>
{
    /// <summary>What the seed makes of the run, in a line.</summary>
    string Description { get; }
    TFigures Figures { get; }
    void Run();
}

/// <summary>What runs did, counted.</summary>
internal interface IFigures<TFigures>
{
    long Seeds { get; }
    /// <summary>The end of a long run in one line, without what failed.</summary>
    string Last { get; }
    void Add(TFigures other);
}
