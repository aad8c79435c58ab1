using OrleansMq.Silo.Hosting;

return await BrokerProgram.RunAsync(args);
