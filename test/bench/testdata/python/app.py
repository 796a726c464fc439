"""The smallest processor that does something with its input."""

import allspark


class Echo(allspark.BaseProcessor):
    def initialize(self):
        pass

    def process(self, data):
        return data, 200


if __name__ == "__main__":
    Echo().run()
