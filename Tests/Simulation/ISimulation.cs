namespace OrleansMq.Tests.Simulation;

/// <summary>One run from one seed. It throws when an invariant is broken, or when the code under test throws.</summary>
internal interface ISimulation<TFigures>
{
    /// <summary>The seed's scenario, in one line.</summary>
    string Description { get; }
    TFigures Figures { get; }
    void Run();
}

/// <summary>The counts of runs.</summary>
internal interface IFigures<TFigures>
{
    long Seeds { get; }
    /// <summary>The end of a summary line for a long run, without failures.</summary>
    string Last { get; }
    void Add(TFigures other);
}
